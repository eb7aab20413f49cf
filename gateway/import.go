package gateway

import (
	"slices"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// importHolds is about what one import holds of the process's budget for bulk
// requests, however long it is: two batches, the bytes just read, the faults.
const importHolds = 4 << 20

// importEndpoints is POST /api/v1/endpoints: an endpoint a line, journalled in
// batches while the body still comes, without a limit for the whole. The reply
// follows the last byte: a line {"error":…} for each bad line (the first
// thousand; the others are counted) and a last line {"summary":…}.
//
// What was journalled stays, whatever happens to the rest, and a line that is
// sent again changes nothing: so whoever was cut off sends the whole again.
func (g *Gateway) importEndpoints(r *httpapi.Request) error {
	p, err := g.importCaller(r)
	if err != nil {
		return err
	}
	if !g.budget.take(importHolds) {
		e := carillon.Errorf(carillon.CodeThrottled, "", "bulk requests of %d bytes are under way in this gateway, no more fit; repeat it in a second", g.cfg.BulkBudgetBytes)
		e.RetryAfter = retryAfter
		return e
	}
	defer g.budget.give(importHolds)
	body, err := r.Stream()
	if err != nil {
		return err
	}
	im, ok := g.imports.Get().(*importer)
	if !ok {
		im = newImporter()
	}
	defer g.imports.Put(im)
	defer im.end()
	im.begin(g, p)
	if err := im.run(r.Context(), body); err != nil {
		return im.broken(err)
	}
	if wantsMinimal(r) {
		r.SetHeader("Preference-Applied", "return=minimal")
	}
	res := &r.Fast().Response
	res.SetStatusCode(200)
	res.Header.SetContentType("application/x-ndjson")
	res.SetBody(im.reply())
	return nil
}

// importCaller admits apps that may write endpoints.
func (g *Gateway) importCaller(r *httpapi.Request) (*auth.Principal, error) {
	p, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	switch {
	case p.UserID != "":
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the import takes an app token with the role %s, not a user's", auth.RoleEndpoints)
	case !p.HasRole(auth.RoleEndpoints):
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the app token needs the role %s", auth.RoleEndpoints)
	}
	return p, wantsJSON(r, "application/x-ndjson")
}

// admit holds a line to what the caller may write and to the rules of
// endpoints, and fills in what it left out. It makes no garbage for a good line.
func (im *importer) admit() error {
	d, now := &im.line, im.now
	if err := carillon.ValidateUserID(d.user); err != nil {
		return err
	}
	if !im.asked || d.host != im.host {
		// The copy matters: the host stands in a buffer that is overwritten.
		im.host, im.asked = strings.Clone(d.host), true
		im.app, im.refusal = im.g.hostOf(im.p, im.host)
	}
	if im.refusal != nil {
		return im.refusal
	}
	e := &d.endpoint
	if err := im.identify(e); err != nil {
		return err
	}
	if err := e.Validate(); err != nil {
		return err
	}
	most := now + carillon.EndpointLife.Milliseconds()
	switch {
	case e.Expires == 0 || e.Expires > most:
		e.Expires = most
	case e.Expires <= now:
		return carillon.Errorf(carillon.CodeInvalidRequest, "expirationDateTime", "is past: this endpoint's life ended; leave it out for %d days from now", int(carillon.EndpointLife.Hours()/24))
	}
	e.Registered = min(e.Registered, now)
	return nil
}

// identify is the package's identify without garbage.
func (im *importer) identify(e *carillon.Endpoint) error {
	want := carillon.Identity{Platform: e.Platform, AppID: e.AppID}
	if e.AppID != "" && slices.Contains(im.app.Identities, want) {
		return nil
	}
	return identify(e, im.app)
}
