package sandbox_test

import (
	"strings"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/golang-jwt/jwt/v5"
)

func TestGoogleTokenEndpoint(t *testing.T) {
	r := start(t, sandbox.Config{})
	const grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	f := func(status int, want string, change func(jwt.MapClaims)) {
		t.Helper()
		for _, url := range []string{r.Credentials().FCM.TokenURI, "https://oauth2.googleapis.com/token"} {
			a := r.form(url, "grant_type", grant, "assertion", r.assertion(change))
			if a.status != status || !strings.Contains(a.body, want) {
				t.Errorf("want %d %s, got %d %s", status, want, a.status, a.body)
			}
		}
	}
	f(200, `"expires_in":3599`, nil)
	f(200, "access_token", func(c jwt.MapClaims) { c["aud"] = "https://oauth2.googleapis.com/token" })
	f(200, "access_token", func(c jwt.MapClaims) {
		c["iat"] = r.now().Add(-10 * time.Second).Unix()
		c["exp"] = r.now().Add(time.Hour - 10*time.Second).Unix()
	})
	f(400, "invalid_grant", func(c jwt.MapClaims) { c["exp"] = r.now().Add(2 * time.Hour).Unix() })
	f(400, "short-lived token", func(c jwt.MapClaims) {
		c["iat"] = r.now().Add(-2 * time.Hour).Unix()
		c["exp"] = r.now().Add(-time.Hour).Unix()
	})
	f(400, "short-lived token", func(c jwt.MapClaims) {
		c["iat"] = r.now().Add(time.Hour).Unix()
		c["exp"] = r.now().Add(2 * time.Hour).Unix()
	})
	f(400, "account not found", func(c jwt.MapClaims) { c["iss"] = "mallory" })
	f(400, "audience", func(c jwt.MapClaims) { c["aud"] = "https://example.com" })
	f(400, "scope", func(c jwt.MapClaims) { c["scope"] = "email" })
	if a := r.form(r.Credentials().FCM.TokenURI, "grant_type", grant, "assertion", "a.b.c"); a.status != 400 || !strings.Contains(a.body, "Signature") {
		t.Error(a)
	}
	if a := r.form(r.Credentials().FCM.TokenURI, "grant_type", "password"); a.status != 400 || !strings.Contains(a.body, "unsupported_grant_type") {
		t.Error(a)
	}
	r.Script(sandbox.Fault{Vendor: sandbox.Token, Status: 503, Reason: "temporarily_unavailable", RetryAfter: "7", Times: 1})
	if a := r.form(r.Credentials().FCM.TokenURI, "grant_type", "password"); a.status != 503 || a.header.Get("Retry-After") != "7" {
		t.Error(a)
	}
}

func TestSlowTokenEndpoints(t *testing.T) {
	r := start(t, sandbox.Config{})
	slow := func(what string) {
		t.Helper()
		begin := time.Now()
		if a := r.form(r.Credentials().FCM.TokenURI, "grant_type", "password"); a.status != 400 || time.Since(begin) < 5*time.Millisecond {
			t.Errorf("%s: %+v", what, a)
		}
	}
	r.Script(sandbox.Fault{Vendor: sandbox.Token, Delay: 5 * time.Millisecond, Times: 1})
	slow("scripted")
	r.conduct(sandbox.Token, func(c *sandbox.Conduct) { c.Latency = sandbox.Latency{Median: 5 * time.Millisecond} })
	slow("always")
	r.conduct(sandbox.Token, func(c *sandbox.Conduct) { c.Latency = sandbox.Latency{} })
	r.Script(sandbox.Fault{Vendor: sandbox.Token, Disconnect: true, Times: 1})
	if a, err := r.try(r.http1, r.Credentials().FCM.TokenURI, nil); err == nil {
		t.Errorf("%+v", a)
	}
}

func TestMicrosoftTokenEndpoints(t *testing.T) {
	r := start(t, sandbox.Config{})
	w, e := r.Credentials().WNS, r.Credentials().Entra
	f := func(status int, want, url string, kv ...string) {
		t.Helper()
		if a := r.form(url, kv...); a.status != status || !strings.Contains(a.body, want) {
			t.Errorf("want %d %s, got %d %s", status, want, a.status, a.body)
		}
	}
	const live, scope = "https://login.live.com/accesstoken.srf", "notify.windows.com"
	f(200, `"expires_in":86400`, live, "grant_type", "client_credentials", "client_id", w.PackageSID, "client_secret", w.Secret, "scope", scope)
	f(400, "invalid_client", live, "grant_type", "client_credentials", "client_id", w.PackageSID, "client_secret", "no", "scope", scope)
	f(400, "invalid_scope", live, "grant_type", "client_credentials", "client_id", w.PackageSID, "client_secret", w.Secret)
	f(400, "unsupported_grant_type", live, "grant_type", "x")
	entra, wide := "https://login.microsoftonline.com/"+e.TenantID+"/oauth2/v2.0/token", "https://wns.windows.com/.default"
	f(200, `"expires_in":"86399"`, entra, "grant_type", "client_credentials", "client_id", e.AppID, "client_secret", e.Secret, "scope", wide)
	f(401, "invalid_client", entra, "grant_type", "client_credentials", "client_id", e.AppID, "client_secret", "no", "scope", wide)
	f(400, "AADSTS90002", "https://login.microsoftonline.com/common/oauth2/v2.0/token", "grant_type", "client_credentials")
	if c := r.Counts(); c.Tokens != 2 {
		t.Error(c.Tokens)
	}
}
