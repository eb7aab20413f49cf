package gateway

import (
	"slices"
	"strings"
	"unicode/utf8"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const maxRegistration = 16 << 10

// registration is the body of PUT …/endpoints/{installationId}.
type registration struct {
	cursor
	host     string
	endpoint carillon.Endpoint
}

// putEndpoint registers or renews an endpoint. It answers when the row is
// written, as the subscription id needs the incarnation that it got.
func (g *Gateway) putEndpoint(r *httpapi.Request) error {
	p, uid, err := g.endpointUser(r)
	if err != nil {
		return err
	}
	body, err := jsonBody(r, maxRegistration)
	if err != nil {
		return err
	}
	var reg registration
	if err := reg.decode(body); err != nil {
		return err
	}
	app, err := g.hostOf(p, reg.host)
	if err != nil {
		return err
	}
	e := &reg.endpoint
	e.ID = r.Param("installationId")
	if err := identify(e, app); err != nil {
		return err
	}
	if err := e.Validate(); err != nil {
		return err
	}
	e.Expires = r.Now() + carillon.EndpointLife.Milliseconds()
	e.Registered = r.Now()
	u := carillon.User{Host: app.Host, ID: uid}
	pos, err := g.record(r, u, &journal.Record{Kind: journal.KindEndpoint, At: r.Now(), Endpoint: *e})
	if err != nil {
		return err
	}
	g.metrics.endpoints.Inc()
	return g.registered(r, u, e.ID, pos)
}

// registered waits for the row and answers with it.
func (g *Gateway) registered(r *httpapi.Request, u carillon.User, id string, pos carillon.Position) error {
	if err := g.deps.Applied.Wait(r.Context(), pos); err != nil {
		return err
	}
	eps, err := g.deps.Store.Endpoints(nil, u)
	if err != nil {
		return unreadable(err)
	}
	i := slices.IndexFunc(eps, func(e carillon.Endpoint) bool { return e.ID == id && e.Version >= pos.Seq })
	if i < 0 {
		return carillon.Errorf(carillon.CodeConflict, "installationId", "the endpoint left again while it was registered; register it once more")
	}
	e := &eps[i]
	sub := g.deps.Subscriptions.Seal(auth.Subscription{User: u, Installation: id, Incarnation: e.Incarnation, Expires: e.Expires})
	token := httpapi.EncodePosition(pos)
	dst := append(r.Scratch(), `{"id":`...)
	dst = httpapi.AppendString(dst, id)
	dst = append(dst, `,"subscriptionId":`...)
	dst = httpapi.AppendString(dst, sub)
	dst = append(dst, `,"expirationDateTime":`...)
	dst = httpapi.AppendTime(dst, e.Expires)
	dst = append(dst, `,"position":`...)
	dst = httpapi.AppendString(dst, token)
	r.SetHeader(tokenHeader, token)
	r.JSON(200, append(dst, '}'))
	return nil
}

// deleteEndpoint lets an endpoint leave. Leaving twice is no fault.
func (g *Gateway) deleteEndpoint(r *httpapi.Request) error {
	p, uid, err := g.endpointUser(r)
	if err != nil {
		return err
	}
	app, err := g.hostOf(p, hostQuery(r))
	if err != nil {
		return err
	}
	id := r.Param("installationId")
	if err := (&carillon.Endpoint{ID: id, Platform: carillon.Polling}).Validate(); err != nil {
		return err
	}
	u := carillon.User{Host: app.Host, ID: uid}
	pos, err := g.record(r, u, &journal.Record{
		Kind: journal.KindLeave, At: r.Now(), Leave: journal.Leave{Installation: id, Reason: "left"},
	})
	if err != nil {
		return err
	}
	g.metrics.leaves.Inc()
	// It is durable; whether its rows are gone already only matters to a
	// reader, who can wait with the token.
	_ = g.deps.Applied.Wait(r.Context(), pos)
	r.SetHeader(tokenHeader, httpapi.EncodePosition(pos))
	r.Status(204)
	return nil
}

// listEndpoints lists the endpoints that live. A read with the position of the
// reader's own write waits for it.
func (g *Gateway) listEndpoints(r *httpapi.Request) error {
	p, uid, err := g.endpointUser(r)
	if err != nil {
		return err
	}
	app, err := g.hostOf(p, hostQuery(r))
	if err != nil {
		return err
	}
	if token := r.Header(tokenHeader); token != "" {
		pos, err := httpapi.DecodePosition(token)
		if err != nil {
			return err
		}
		if err := g.deps.Applied.Wait(r.Context(), pos); err != nil {
			return err
		}
	}
	eps, err := g.deps.Store.Endpoints(nil, carillon.User{Host: app.Host, ID: uid})
	if err != nil {
		return unreadable(err)
	}
	dst := append(r.Scratch(), `{"value":[`...)
	first := true
	for i := range eps {
		if eps[i].Alive(r.Now()) {
			dst = comma(dst, &first)
			dst = appendEndpoint(dst, app.Host, &eps[i])
		}
	}
	r.JSON(200, append(dst, "]}"...))
	return nil
}

func appendEndpoint(dst []byte, host string, e *carillon.Endpoint) []byte {
	dst = append(dst, `{"id":`...)
	dst = httpapi.AppendString(dst, e.ID)
	for _, m := range [...]struct{ name, value string }{
		{"host", host},
		{"platform", e.Platform.String()},
		{"address", e.Address},
		{"appId", e.AppID},
		{"environment", e.Environment},
		{"locale", e.Locale},
		{"push", e.Push.String()},
	} {
		if m.value == "" {
			continue
		}
		dst = append(dst, `,"`...)
		dst = append(dst, m.name...)
		dst = append(dst, `":`...)
		dst = httpapi.AppendString(dst, m.value)
	}
	dst = append(dst, `,"expirationDateTime":`...)
	dst = httpapi.AppendTime(dst, e.Expires)
	return append(dst, '}')
}

// endpointUser tells whose endpoints a call is about, and whether the caller
// may.
func (g *Gateway) endpointUser(r *httpapi.Request) (*auth.Principal, string, error) {
	p, err := g.caller(r)
	if err != nil {
		return nil, "", err
	}
	var uid string
	if strings.HasPrefix(r.Pattern(), "/api/v1/users/") {
		uid, err = named(p, r.Param("id"), auth.RoleEndpoints)
	} else {
		uid, err = self(p)
	}
	return p, uid, err
}

// hostQuery is the host that a call without a body names.
func hostQuery(r *httpapi.Request) string {
	if h := r.Query("host"); h != "" {
		return h
	}
	return r.Query("targetHostName")
}

// record appends one record of a user.
func (g *Gateway) record(r *httpapi.Request, u carillon.User, rec *journal.Record) (carillon.Position, error) {
	entry := [1]journal.Entry{{Key: u.AppendKey(nil), Value: rec.Append(nil)}}
	if err := g.append(r.Context(), entry[:]); err != nil {
		g.metrics.failed.Inc()
		return carillon.Position{}, err
	}
	return entry[0].Position, nil
}

// identify holds an endpoint to the app's identities on its platform: the
// address is pushed to under one of them. A single one need not be named.
func identify(e *carillon.Endpoint, app *carillon.App) error {
	var known []string
	for _, id := range app.Identities {
		if id.Platform == e.Platform {
			known = append(known, id.AppID)
		}
	}
	switch {
	case len(known) == 0 || e.Platform == carillon.Polling:
		return nil
	case e.AppID == "" && len(known) == 1:
		e.AppID = known[0]
		return nil
	case slices.Contains(known, e.AppID), e.Platform == carillon.IOS && carillon.PushType(e.AppID, known) != "":
		return nil
	}
	return carillon.Errorf(carillon.CodeInvalidRequest, "appId", "%.80q is not an identity of %s on %s; it has %s", e.AppID, app.Host, e.Platform, strings.Join(known, ", "))
}

// decode reads the body. Members that are not known are passed over: a newer
// SDK may tell more than this door wants to know.
func (d *registration) decode(body []byte) *carillon.Error {
	d.reset(body)
	if !utf8.Valid(body) {
		d.fault("", "the body is not valid UTF-8")
		return d.err
	}
	if d.peek() != '{' {
		d.fault("", "the body must be a JSON object")
		return d.err
	}
	d.open()
	var seen [7]bool
	for first := true; d.next(first, '}'); first = false {
		d.member(d.key(), &seen)
	}
	d.end()
	return d.err
}

func (d *registration) member(name []byte, seen *[7]bool) {
	i := slices.Index([]string{"host", "platform", "address", "appId", "environment", "locale", "push"}, string(name))
	if i < 0 {
		d.skip()
		return
	}
	target := string(name)
	if seen[i] {
		d.fault(target, "stands twice")
	}
	seen[i] = true
	if d.null() {
		return
	}
	if d.peek() != '"' {
		d.fault(target, "must be a string")
		return
	}
	value := string(d.string())
	if d.err != nil {
		return
	}
	d.set(target, value)
}

func (d *registration) set(target, value string) {
	var ok bool
	e := &d.endpoint
	switch target {
	case "host":
		d.host = strings.ToLower(value)
	case "platform":
		e.Platform, ok = carillon.ParsePlatform(value)
		if !ok {
			d.fault(target, "%.40q is not one of windows, ios, android, web, polling", value)
		}
	case "address":
		e.Address = value
	case "appId":
		e.AppID = value
	case "environment":
		e.Environment = value
	case "locale":
		e.Locale = value
	case "push":
		e.Push, ok = carillon.ParsePreference(value)
		if !ok {
			d.fault(target, "%.40q is not one of withPayload, tapOnly, none", value)
		}
	}
}
