package gateway

import (
	"strings"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// subscriptionHeader carries a subscription id (the UNS id of the original).
const subscriptionHeader = "X-UNS-ID"

// caller tells who calls.
func (g *Gateway) caller(r *httpapi.Request) (*auth.Principal, error) {
	token, err := r.Bearer()
	if err != nil {
		return nil, err
	}
	p, err := g.deps.Auth.Verify(token)
	if err != nil {
		return nil, err
	}
	r.Principal = p
	if !g.deps.Apps().AllowsClientOrigin(p.Client, r.Origin()) {
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Origin", "pages of %.200q may not call for this app: its identities do not list that web origin", r.Origin())
	}
	return p, nil
}

// owned finds the app of a host that the calling client may act for. A host
// that nobody onboarded gets the same answer as another's.
func (g *Gateway) owned(p *auth.Principal, host, target string) (*carillon.App, error) {
	app, ok := g.deps.Apps().Host(host)
	if !ok || !app.Allows(p.Client) {
		return nil, carillon.Errorf(carillon.CodeAccessDenied, target, "client %.64q of this token may not act for host %.253q", p.Client, host)
	}
	return app, nil
}

// parkedRetry is when a sender whose app has too much parked may come again.
const parkedRetry = 30 * time.Second

// admitted is [Gateway.owned] for sends: an app whose vendors have not taken
// what it sent before waits, so that its trouble stays its own.
func (g *Gateway) admitted(p *auth.Principal, host, target string) error {
	if _, err := g.owned(p, host, target); err != nil {
		return err
	}
	if g.deps.Parked == nil {
		return nil
	}
	if n := g.deps.Parked(host); n > g.cfg.MaxParked {
		err := carillon.Errorf(carillon.CodeThrottled, target, "%d deliveries of %s wait for its vendors, at most %d may: send again later; `carillon audit` and the dispatcher's metrics tell which", n, host, g.cfg.MaxParked)
		err.RetryAfter = parkedRetry
		return err
	}
	return nil
}

// hostOf is the app that a call is for: the one it names, or the only one that
// its client may act for.
func (g *Gateway) hostOf(p *auth.Principal, host string) (*carillon.App, error) {
	if host != "" {
		return g.owned(p, strings.ToLower(host), "host")
	}
	switch hosts := g.deps.Apps().Owned(p.Client); len(hosts) {
	case 0:
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "host", "client %.64q of this token may not act for any host", p.Client)
	case 1:
		return g.owned(p, hosts[0], "host")
	default:
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "host", "this client acts for several hosts, name one: %s", strings.Join(hosts, ", "))
	}
}

// maySend tells whether the caller may send at all; whom to is another
// question.
func maySend(p *auth.Principal) error {
	switch {
	case p.UserID != "" && !p.MayUser():
		return carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the user token needs the scope %s or %s", auth.ScopeNotifications, auth.ScopeUserNotifications)
	case p.UserID == "" && !p.HasRole(auth.RoleSend):
		return carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the app token needs the role %s", auth.RoleSend)
	}
	return nil
}

// self is the user of a call under /me that takes user tokens only.
func self(p *auth.Principal) (string, error) {
	if p.UserID == "" {
		return "", carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "/me needs a user token; with an app token name the user: /users/{id}")
	}
	if !p.MayUser() {
		return "", carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the user token needs the scope %s or %s", auth.ScopeNotifications, auth.ScopeUserNotifications)
	}
	return p.UserID, nil
}

// named is the user of a call under /users/{id}: with an app token anybody, if
// the token has the role, with a user token only himself.
func named(p *auth.Principal, id, role string) (string, error) {
	if err := carillon.ValidateUserID(id); err != nil {
		return "", err
	}
	switch {
	case p.UserID == id && p.MayUser():
	case p.UserID != "":
		return "", carillon.Errorf(carillon.CodeAccessDenied, "userId", "a user token acts for its own user only, with the scope %s or %s", auth.ScopeNotifications, auth.ScopeUserNotifications)
	case !p.HasRole(role):
		return "", carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the app token needs the role %s", role)
	}
	return id, nil
}

// subscribed opens a subscription id and makes sure that its endpoint is still
// the one that it was made for. Whatever is wrong is a 403 of one of three
// kinds; whether a user exists is not told.
func (g *Gateway) subscribed(id, host string, now int64) (auth.Subscription, error) {
	sub, err := g.deps.Subscriptions.Open(id, now)
	if err != nil {
		return sub, err
	}
	if sub.User.Host != host {
		return sub, carillon.Errorf(carillon.CodeAccessDenied, subscriptionHeader, "malformed: this subscription id belongs to another host than %.253q", host)
	}
	eps, err := g.deps.Store.Endpoints(nil, sub.User)
	if err != nil {
		return sub, unreadable(err)
	}
	for i := range eps {
		if e := &eps[i]; e.ID == sub.Installation && e.Incarnation == sub.Incarnation && e.Alive(now) {
			return sub, nil
		}
	}
	return sub, carillon.Errorf(carillon.CodeAccessDenied, subscriptionHeader, "revoked: the endpoint of this subscription id is not registered any more")
}

// unreadable is a fault of the store.
func unreadable(err error) error {
	e := carillon.Errorf(carillon.CodeUnavailable, "", "the store cannot be read now: nothing was appended, try again")
	e.RetryAfter, e.Cause = retryAfter, err
	return e
}
