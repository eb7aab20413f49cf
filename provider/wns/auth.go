package wns

import (
	"errors"
	"net/url"
	"time"

	"carillon"
)

// form is the token request of the client-credentials grant (RFC 6749 §4.4.2),
// for a package SID (UWP apps) or an Entra application (Windows App SDK). The
// two are not exchangeable: channels of one refuse tokens of the other.
func form(cred *carillon.Credential) (func(time.Time) (url.Values, error), error) {
	v := url.Values{"grant_type": {"client_credentials"}, "client_secret": {cred.Secret}}
	switch {
	case cred.Secret == "":
		return nil, errors.New("a WNS credential needs its secret")
	case cred.PackageSID != "":
		v.Set("client_id", cred.PackageSID)
		v.Set("scope", "notify.windows.com")
	case cred.TenantID != "" && cred.ClientID != "":
		v.Set("client_id", cred.ClientID)
		v.Set("scope", "https://wns.windows.com/.default")
	default:
		return nil, errors.New("a WNS credential needs packageSid, or tenantId and clientId of an Entra application")
	}
	return func(time.Time) (url.Values, error) { return v, nil }, nil
}
