package feed

import (
	"slices"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// need says what an app token must carry for a call.
type need struct {
	// roles: one of them will do.
	roles []string
	// users tells whether the user's own token will do too.
	users bool
}

// positionHeader carries the position of the reader's own write.
const positionHeader = "ReadWriteConsistencyToken"

// caller finds out whose notifications are asked for, and whether this caller
// may see them. A caller who brings the position of his own write waits here
// until its rows are written.
func (f *Feed) caller(r *httpapi.Request, want need) (carillon.User, error) {
	u, err := f.allowed(r, want)
	if err != nil {
		return carillon.User{}, err
	}
	token := r.Header(positionHeader)
	if token == "" {
		return u, nil
	}
	pos, err := httpapi.DecodePosition(token)
	if err != nil {
		return carillon.User{}, err
	}
	return u, f.deps.Applied.Wait(r.Context(), pos)
}

// allowed is who may see what (contract §6.3). Its refusals never depend on
// whether a user exists.
func (f *Feed) allowed(r *httpapi.Request, want need) (carillon.User, error) {
	token, err := r.Bearer()
	if err != nil {
		return carillon.User{}, err
	}
	p, err := f.deps.Tokens.Verify(token)
	if err != nil {
		return carillon.User{}, err
	}
	r.Principal = p
	if !f.deps.Apps().AllowsClientOrigin(p.Client, r.Origin()) {
		return carillon.User{}, foreignOrigin(r.Origin())
	}
	id := r.Param("id") // "" on /me
	if p.UserID != "" {
		return f.ownUser(r, p, id, want)
	}
	if !slices.ContainsFunc(want.roles, p.HasRole) {
		return carillon.User{}, carillon.Errorf(carillon.CodeAccessDenied, "roles", "an app token needs the role %s for this call", strings.Join(want.roles, " or "))
	}
	if id == "" {
		return f.subscribed(r, p)
	}
	if err := carillon.ValidateUserID(id); err != nil {
		return carillon.User{}, err
	}
	host, err := f.host(r, p)
	return carillon.User{Host: host, ID: id}, err
}

// foreignOrigin refuses a page of another app.
func foreignOrigin(origin string) error {
	return carillon.Errorf(carillon.CodeAccessDenied, "Origin", "pages of %.200q may not call for this app: its identities do not list that web origin", origin)
}

// ownUser admits a user's token to his own notifications.
func (f *Feed) ownUser(r *httpapi.Request, p *auth.Principal, id string, want need) (carillon.User, error) {
	switch {
	case !want.users:
		return carillon.User{}, carillon.Errorf(carillon.CodeAccessDenied, "", "this call takes an app token with the role %s, not a user's", strings.Join(want.roles, " or "))
	case !p.MayUser():
		return carillon.User{}, carillon.Errorf(carillon.CodeAccessDenied, "scp", "a user token needs the scope %s or %s", auth.ScopeNotifications, auth.ScopeUserNotifications)
	case id != "" && id != p.UserID:
		return carillon.User{}, carillon.Errorf(carillon.CodeAccessDenied, "id", "a user token reads its own user's notifications only, who is %s", p.UserID)
	}
	host, err := f.host(r, p)
	return carillon.User{Host: host, ID: p.UserID}, err
}

// host is the app that is meant: the one that the caller names, or the only one
// that the token's app owns.
func (f *Feed) host(r *httpapi.Request, p *auth.Principal) (string, error) {
	var owned []string
	if p.Client != "" {
		owned = f.deps.Apps().Owned(p.Client)
	}
	named, param := r.Query("host"), "host"
	if named == "" {
		named, param = r.Query("targetHostName"), "targetHostName"
	}
	named = strings.ToLower(named)
	switch {
	case len(owned) == 0:
		return "", carillon.Errorf(carillon.CodeAccessDenied, "", "the token's app (client id %.100q) may act for no host: onboard it with this client id", p.Client)
	case named == "" && len(owned) == 1:
		return owned[0], nil
	case named == "":
		return "", carillon.Errorf(carillon.CodeInvalidRequest, "host", "the token's app owns several hosts; name one with host=: %s", strings.Join(owned, ", "))
	}
	if slices.Contains(owned, named) {
		return named, nil
	}
	return "", carillon.Errorf(carillon.CodeAccessDenied, param, "the token's app may not act for %.100q", named)
}

// subscribed is the user that an app token on /me names by X-UNS-ID.
func (f *Feed) subscribed(r *httpapi.Request, p *auth.Principal) (carillon.User, error) {
	id := r.Header("X-UNS-ID")
	if id == "" {
		return carillon.User{}, carillon.Errorf(carillon.CodeInvalidRequest, "X-UNS-ID", "an app token on /me names the user by this header; without it call /users/{id}")
	}
	sub, err := f.deps.Subscriptions.Open(id, r.Now())
	if err != nil {
		return carillon.User{}, err
	}
	app, ok := f.deps.Apps().Host(sub.User.Host)
	if !ok || p.Client == "" || !app.Allows(p.Client) {
		return carillon.User{}, carillon.Errorf(carillon.CodeAccessDenied, "X-UNS-ID", "the token's app may not act for the host of this subscription")
	}
	return sub.User, f.lives(&sub)
}

// lives refuses the subscription of an endpoint that is not there any more.
func (f *Feed) lives(sub *auth.Subscription) error {
	eps, err := f.deps.Directory.Endpoints(nil, sub.User)
	if err != nil {
		return err
	}
	for i := range eps {
		if eps[i].ID == sub.Installation && eps[i].Incarnation == sub.Incarnation {
			return nil
		}
	}
	return carillon.Errorf(carillon.CodeAccessDenied, "X-UNS-ID", "revoked: its endpoint left or moved; the device must register again")
}

// endpoint is the endpoint of u that reads, as X-UNS-ID names it; empty when it
// names none. That it calls tells that what it was served has arrived.
func (f *Feed) endpoint(r *httpapi.Request, u carillon.User) (sub auth.Subscription, err error) {
	id := r.Header("X-UNS-ID")
	if id == "" {
		return sub, nil
	}
	if sub, err = f.deps.Subscriptions.Open(id, r.Now()); err != nil {
		return sub, err
	}
	if sub.User != u {
		return sub, carillon.Errorf(carillon.CodeAccessDenied, "X-UNS-ID", "malformed: this subscription id is not one of this user of this app")
	}
	if r.Param("id") != "" || r.Principal.(*auth.Principal).UserID != "" { //nolint:forcetypeassert // caller set it
		if err := f.lives(&sub); err != nil { // else it was looked at already
			return sub, err
		}
	}
	f.deps.Served.Came(&sub, r.Call())
	return sub, nil
}
