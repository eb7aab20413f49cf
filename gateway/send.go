package gateway

import (
	"bytes"
	"net/url"
	"strings"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const (
	// tokenHeader carries the position of a write; a read that brings it back
	// sees the write.
	tokenHeader = "ReadWriteConsistencyToken"
	keyHeader   = "Idempotency-Key"
	retryAfter  = time.Second
)

// send is one single send on its way. It is reused.
type send struct {
	decoder
	keyed
	user    carillon.User
	rec     journal.Record
	key     []byte // journal key
	value   []byte // encoded record
	scratch []byte
	entry   [1]journal.Entry
}

// postMine is POST /beta/me/notifications.
func (g *Gateway) postMine(r *httpapi.Request) error {
	return g.post(r, func(p *auth.Principal, host string) (string, error) {
		if err := maySend(p); err != nil {
			return "", err
		}
		return g.mine(r, p, host)
	})
}

// mine is the user of a send to /me: the token's own, or the one whose
// subscription id an app token brings. A user token may bring one too; it must
// then be his own.
func (g *Gateway) mine(r *httpapi.Request, p *auth.Principal, host string) (string, error) {
	id := r.Header(subscriptionHeader)
	if id == "" {
		if p.UserID == "" {
			return "", carillon.Errorf(carillon.CodeInvalidRequest, subscriptionHeader,
				"an app token needs %s to tell whom it means, or the path /users/{id}/notifications", subscriptionHeader)
		}
		return p.UserID, nil
	}
	sub, err := g.subscribed(id, host, r.Now())
	if err != nil {
		return "", err
	}
	if p.UserID != "" && p.UserID != sub.User.ID {
		return "", carillon.Errorf(carillon.CodeAccessDenied, subscriptionHeader, "malformed: this subscription id is not one of the token's user")
	}
	return sub.User.ID, nil
}

// postTheirs is POST /beta/users/{id}/notifications.
func (g *Gateway) postTheirs(r *httpapi.Request) error {
	return g.post(r, func(p *auth.Principal, _ string) (string, error) {
		return named(p, r.Param("id"), auth.RoleSend)
	})
}

// post takes one notification: who may, whom to, decode, admit, append, answer.
func (g *Gateway) post(r *httpapi.Request, recipient func(p *auth.Principal, host string) (string, error)) error {
	if err := r.RefuseConditional(); err != nil {
		return err
	}
	p, err := g.caller(r)
	if err != nil {
		return err
	}
	body, err := jsonBody(r, carillon.MaxRequest)
	if err != nil {
		return err
	}
	s := g.send()
	defer g.sends.Put(s)
	if err := s.decode(body, false, r.Now()); err != nil {
		return err
	}
	if err := g.admitted(p, s.host, "targetHostName"); err != nil {
		return err
	}
	id, err := recipient(p, s.host)
	if err != nil {
		return err
	}
	s.user = carillon.User{Host: s.host, ID: id}
	if err := g.keys(s, r.HeaderBytes(keyHeader)); err != nil {
		return err
	}
	rehearsal, err := rehearses(r)
	if err != nil {
		return err
	}
	if rehearsal {
		return g.validateOnly(r, s)
	}
	if err := g.charge(s.host, 1, r.Now()); err != nil {
		return err
	}
	done, err := g.accept(r, s)
	if err != nil {
		return err
	}
	g.created(r, s, p.Client, done)
	return nil
}

// rehearsalName is the query parameter that asks for validateOnly, in whatever
// case; "" without one.
func rehearsalName(r *httpapi.Request) string {
	for _, name := range r.QueryNames() {
		if strings.EqualFold(name, "validateOnly") {
			return name
		}
	}
	return ""
}

// rehearses tells whether a send is only to be validated. What only looks like
// the parameter is refused: taken for an unknown one, it would ring.
func rehearses(r *httpapi.Request) (bool, error) {
	name := rehearsalName(r)
	switch {
	case name == "":
		return false, nil
	case name != "validateOnly":
		return false, carillon.Errorf(carillon.CodeInvalidRequest, name, "is spelled validateOnly")
	}
	v := r.Query(name)
	if v != "false" && v != "true" {
		return false, carillon.Errorf(carillon.CodeInvalidRequest, name, "%.20q is neither true nor false", v)
	}
	return v == "true", nil
}

func (g *Gateway) send() *send {
	if s, ok := g.sends.Get().(*send); ok {
		return s
	}
	return &send{}
}

// wantsJSON refuses other media types. Leaving the header out is taken for the
// right one.
func wantsJSON(r *httpapi.Request, want string) error {
	ct, _, _ := bytes.Cut(r.HeaderBytes("Content-Type"), []byte{';'})
	ct = bytes.TrimSpace(ct)
	if len(ct) == 0 || bytes.EqualFold(ct, []byte(want)) {
		return nil
	}
	return carillon.Errorf(carillon.CodeUnsupportedMedia, "Content-Type", "%.60q is not supported here, send %s", ct, want)
}

// jsonBody reads a JSON body of at most so many bytes.
func jsonBody(r *httpapi.Request, most int) ([]byte, error) {
	if err := wantsJSON(r, "application/json"); err != nil {
		return nil, err
	}
	return r.Body(most)
}

// accept appends a notification and waits for the acknowledgement, unless it
// is a repeat.
func (g *Gateway) accept(r *httpapi.Request, s *send) (receipt, error) {
	if !s.hasKey {
		return g.write(r, s)
	}
	old, known := g.recent.begin(s.rid, s.hash, r.Now())
	if known {
		return g.repeat(s, old)
	}
	appended := false
	defer func() { // whatever happens, the claim does not outlive its request
		if !appended {
			g.recent.drop(s.rid)
		}
	}()
	done, found, err := g.remembered(s, r.Now())
	if err != nil || found {
		return done, err
	}
	done, err = g.write(r, s)
	if err != nil {
		return receipt{}, err
	}
	appended = true
	g.recent.end(s.rid, done)
	return done, nil
}

// repeat answers a request whose key is known.
func (g *Gateway) repeat(s *send, old receipt) (receipt, error) {
	switch {
	case old.hash != s.hash:
		return receipt{}, carillon.Errorf(carillon.CodeUnprocessable, keyHeader, "this key was used with another body within 24 hours; use a new key for a new notification")
	case !old.acknowledged:
		e := carillon.Errorf(carillon.CodeConflict, keyHeader, "the first request with this key is still in progress; repeat it in a second")
		e.RetryAfter = retryAfter
		return receipt{}, e
	}
	g.metrics.repeats.Inc()
	s.n.Accepted, s.n.Expires = old.accepted, old.expires
	return old, nil
}

// remembered asks the store for the request.
func (g *Gateway) remembered(s *send, now int64) (receipt, bool, error) {
	idem, ok, err := g.deps.Store.Idem(s.user, s.rid)
	if err != nil {
		return receipt{}, false, unreadable(err)
	}
	if !ok || idem.Expires <= now {
		return receipt{}, false, nil
	}
	old := receipt{
		hash: idem.BodyHash, acknowledged: true, id: idem.ID,
		at:       carillon.Position{Partition: journal.Partition(s.key, g.deps.Partitions), Seq: idem.Seq},
		accepted: idem.Expires - carillon.IdempotencyFor.Milliseconds(), expires: s.n.Expires,
	}
	if !s.expiry {
		old.expires = carillon.DefaultExpiry(old.accepted, s.n.DeliverAt)
	}
	done, err := g.repeat(s, old)
	return done, true, err
}

// write appends the record.
func (g *Gateway) write(r *httpapi.Request, s *send) (receipt, error) {
	s.rec = journal.Record{
		Kind: journal.KindNotification, At: r.Now(),
		RID: s.rid, HasRID: s.hasRID, BodyHash: s.hash, Notification: s.n,
	}
	if t := r.HeaderBytes("traceparent"); len(t) == traceparentBytes {
		s.rec.Trace = t
	}
	s.value = s.rec.Append(s.value[:0])
	s.entry[0] = journal.Entry{Key: s.key, Value: s.value}
	if err := g.append(r.Context(), s.entry[:]); err != nil {
		g.metrics.failed.Inc()
		return receipt{}, err
	}
	g.metrics.notifications.Inc()
	done := receipt{hash: s.hash, id: s.n.ID, at: s.entry[0].Position, accepted: s.n.Accepted, expires: s.n.Expires}
	hash := carillon.HashUserKey(s.key)
	if done.id.IsZero() {
		done.id = g.deps.IDs.Positional(hash, done.at)
	} else {
		g.deps.Lookup.Journalled(hash, done.at)
	}
	return done, nil
}

// traceparentBytes is the length of a traceparent of version 00 (W3C Trace
// Context §3.2).
const traceparentBytes = 55

// created answers 201 with everything that was sent.
func (g *Gateway) created(r *httpapi.Request, s *send, client string, done receipt) {
	loc := s.scratch[:0]
	loc = append(loc, r.Prefix()...)
	if strings.Contains(r.Pattern(), "/users/") {
		loc = append(loc, "/users/"...)
		loc = append(loc, url.PathEscape(s.user.ID)...)
	} else {
		loc = append(loc, "/me"...)
	}
	loc = append(loc, "/notifications/"...)
	loc = done.id.Append(loc)
	if len(g.deps.Apps().Owned(client)) > 1 { // who reads it must name the host then
		loc = append(loc, "?host="...)
		loc = append(loc, s.host...)
	}
	r.SetHeader("Location", text(loc))
	r.SetHeader(tokenHeader, httpapi.EncodePosition(done.at))
	s.scratch = r.AppendContext(loc[:0], s.user.ID, true)
	v := httpapi.View{
		Context: s.scratch, ETag: httpapi.ETag(done.at.Seq, &carillon.State{}),
		ID: done.id, Host: s.host, Notification: &s.n, Created: done.accepted,
	}
	r.JSON(201, httpapi.AppendNotification(r.Scratch(), &v))
}
