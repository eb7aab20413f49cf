package auth

import "slices"

// Scopes and roles that tokens carry (contract §6.1–6.3).
const (
	ScopeNotifications     = "Notifications.ReadWrite.CreatedByApp"
	ScopeUserNotifications = "UserNotification.ReadWrite.CreatedByApp"

	RoleSend      = "Notifications.Send"
	RoleReadAll   = "Notifications.ReadWrite.All"
	RoleEndpoints = "Endpoints.ReadWrite"
	RoleAdmin     = "Carillon.Admin"
)

// Principal is who calls. It is shared by every request with the same token and
// must not be changed.
type Principal struct {
	// Client is the calling app's client id: azp, else appid.
	Client string
	// UserID is the user key ("dev.alice", "{tid}.{oid}"); "" for an app token.
	UserID string
	// Scopes are a user token's, Roles an app token's. The roles of a user
	// token are dropped: they are the user's, not the app's.
	Scopes, Roles []string
	// Admin tells that the token carries [RoleAdmin] and that its issuer may
	// give it.
	Admin bool
	// Expires is the token's end, milliseconds since 1970.
	Expires int64
}

// HasRole tells whether the app has a role. It is false for user tokens.
func (p *Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// HasScope tells whether the user token has a scope.
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// MayUser tells whether the token is a user's and allows its app to read and
// write notifications for him: either of the two scopes will do.
func (p *Principal) MayUser() bool {
	return p.UserID != "" && (p.HasScope(ScopeNotifications) || p.HasScope(ScopeUserNotifications))
}
