package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// loop is a table that applies what is put at once.
type loop struct {
	registry *gateway.Registry
	rows     map[string][]byte
}

func (l *loop) Put(_ context.Context, rows ...journal.Row) error {
	for _, r := range rows {
		l.rows[r.Key] = r.Value
	}
	l.registry.Apply(rows)
	return nil
}

// onboarding is a gateway whose administrators onboard apps.
type onboarding struct {
	*rig
	*loop
	lanes []carillon.Lane
	acts  strings.Builder
}

func newOnboarding(t *testing.T) *onboarding {
	t.Helper()
	o := &onboarding{loop: &loop{rows: map[string][]byte{}}}
	sealer, err := auth.NewSealer(auth.NewMaster([32]byte{1, 2, 3}))
	if err != nil {
		t.Fatal(err)
	}
	o.registry, err = gateway.NewRegistry([]carillon.App{{Host: host, Clients: []string{client}}}, nil, sealer, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o.registry.OnChange(func(l carillon.Lane) { o.lanes = append(o.lanes, l) })
	o.rig = newRigOn(t, gateway.Config{}, nil, func(rt *httpapi.Router) {
		clock := &carillon.Clock{}
		dev, err := auth.NewDevIssuer(auth.NewMaster([32]byte{1, 2, 3}), clock)
		if err != nil {
			t.Fatal(err)
		}
		v, err := auth.NewVerifier(auth.Config{}, clock, dev)
		if err != nil {
			t.Fatal(err)
		}
		gateway.NewOnboarding(gateway.ProofConfig{Resolver: "127.0.0.1:9", WellKnown: "http://127.0.0.1:9/{host}"}, gateway.OnboardingDeps{
			Registry: o.registry, Table: o.loop, Auth: v, Sealer: sealer, Clock: clock,
			Check: func(_ context.Context, c carillon.Credential) error {
				if string(c.Content) == "broken" {
					return fmt.Errorf("no PEM block")
				}
				return nil
			},
			AllowReal: func() error { return nil },
			Audit:     slog.New(slog.NewTextHandler(&o.acts, nil)),
		}).Register(rt)
	})
	return o
}

func (o *onboarding) admin(t *testing.T) string {
	t.Helper()
	token, err := o.dev.Issue(auth.DevClaims{Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestOnboardingRefusals(t *testing.T) {
	o := newOnboarding(t)
	admin := o.admin(t)
	put := func(path, body string) *answer { return o.call("PUT", "/api/v1/apps/"+path, admin, body) }
	if r := put("shop.localhost", ""); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{host, "", 409, "configuration"},
		{"Not_A_Host", "", 400, "host"},
		{"127.0.0.1", "", 400, "no DNS name"},
		{"shop.localhost", "{}", 200, "shop.localhost"},
		{"shop.localhost", `{"clients":["a"]}`, 400, "has no member"},
		{"none.localhost/clients", `{"clients":["a"]}`, 404, "comes first"},
		{"shop.localhost/clients", `{"clients":[""]}`, 400, "empty"},
		{"shop.localhost/clients", `{"clients":["a","b","c","d","e","f","g","h","i","j","k"]}`, 400, "at most 10"},
		{"shop.localhost/clients", `{"client":["a"]}`, 400, `has no member`},
		{"shop.localhost/clients", `[]`, 400, "cannot be"},
		{"shop.localhost/clients", `null`, 400, "a JSON object"},
		{"shop.localhost/clients", `{}`, 400, "clients is missing"},
		{"shop.localhost/clients", `{"clients":null}`, 400, "clients is missing"},
		{"shop.localhost/identities", `{}`, 400, "identities is missing"},
		{"shop.localhost", `null`, 400, "a JSON object"},
		{"shop.localhost/clients", `{"clients":["a"]} {}`, 400, "goes on"},
		{"shop.localhost/identities", `{"identities":[{"platform":"polling","appId":"x"}]}`, 400, "polling"},
		{"shop.localhost/identities", `{"identities":[{"platform":"ios"}]}`, 400, "appId"},
		{"shop.localhost/credentials/web", `{}`, 400, "web"},
		{"shop.localhost/credentials/ios", `{}`, 400, "keyId"},
		{"shop.localhost/credentials/ios", `{"keyId":"ABCDEFGHIJ","teamId":"ABCDEFGHIJ"}`, 400, "key is missing"},
		{"shop.localhost/credentials/ios", `{"key":"x","keyId":"ABCDEFGHIJ","teamId":"ABCDEFGHIJ","secret":"s"}`, 400, "means nothing"},
		{"shop.localhost/credentials/ios", `{"key":"broken","keyId":"ABCDEFGHIJ","teamId":"ABCDEFGHIJ"}`, 400, "PEM"},
		{"shop.localhost/credentials/windows", `{"packageSid":"ms-app://x"}`, 400, "secret is missing"},
	} {
		if r := put(tt.path, tt.body); r.status != tt.status || !strings.Contains(string(r.body), tt.says) {
			t.Errorf("%s %s: %d %s, want %d with %q", tt.path, tt.body, r.status, r.body, tt.status, tt.says)
		}
	}
	endless, err := http.NewRequestWithContext(t.Context(), "PUT", o.url+"/api/v1/apps/shop.localhost", io.MultiReader(strings.NewReader(strings.Repeat(" ", 1<<20)))) // of no stated length
	if err != nil {
		t.Fatal(err)
	}
	endless.Header.Set("Authorization", "Bearer "+admin)
	res, err := o.http.Do(endless)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("a body of 1 MiB in chunks: %d", res.StatusCode)
	}
	user, err := o.dev.Issue(auth.DevClaims{User: "eve", Client: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if r := o.call(method, "/api/v1/apps/shop.localhost", user, ""); r.status != 403 {
			t.Errorf("%s by a user: %d", method, r.status)
		}
	}
	if !strings.Contains(o.acts.String(), "accessDenied") {
		t.Error("a refused act is not written down")
	}
}

func TestCredentialsAreSealed(t *testing.T) {
	o := newOnboarding(t)
	admin := o.admin(t)
	const secret = "planted-secret-of-an-app"
	o.call("PUT", "/api/v1/apps/shop.localhost", admin, "")
	body, _ := json.Marshal(map[string]string{"packageSid": "ms-app://s-1", "secret": secret})
	r := o.call("PUT", "/api/v1/apps/shop.localhost/credentials/windows", admin, string(body))
	if r.status != 200 || strings.Contains(string(r.body), secret) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
		for key, row := range o.rows {
			if strings.Contains(string(row), form) {
				t.Errorf("the row %s tells the secret", key)
			}
		}
	}
	app, ok := o.registry.Apps().Host("shop.localhost")
	if c := app.CredentialsFor(carillon.Windows); !ok || len(c) != 1 || c[0].Secret != secret {
		t.Error("the dispatcher does not get the credential")
	}
	if len(o.lanes) != 1 || o.lanes[0] != (carillon.Lane{Platform: carillon.Windows, Host: "shop.localhost"}) {
		t.Errorf("lanes that are opened anew: %v", o.lanes)
	}
	// A row that was moved to another app opens nothing there.
	o.registry.Apply([]journal.Row{
		{Key: "app/evil.localhost", Value: []byte(`{"verified":1}`)},
		{Key: "app/evil.localhost/credentials/windows", Value: o.rows["app/shop.localhost/credentials/windows"]},
		{Key: "app/evil.localhost/clients", Value: []byte(`no json`)},
		{Key: "nonsense", Value: []byte(`{}`)},
	})
	evil, _ := o.registry.Apps().Host("evil.localhost")
	if len(evil.CredentialsFor(carillon.Windows)) != 0 {
		t.Error("a moved credential is opened")
	}
	if r := o.call("DELETE", "/api/v1/apps/shop.localhost/credentials/windows", admin, ""); r.status != 204 {
		t.Errorf("%d %s", r.status, r.body)
	}
	app, _ = o.registry.Apps().Host("shop.localhost")
	if len(app.CredentialsFor(carillon.Windows)) != 0 {
		t.Error("a removed credential is still there")
	}
}

// TestCredentialSets: an app has several credentials a platform, each with a
// name, at most ten.
func TestCredentialSets(t *testing.T) {
	o := newOnboarding(t)
	admin := o.admin(t)
	o.call("PUT", "/api/v1/apps/shop.localhost", admin, "")
	const path, body = "/api/v1/apps/shop.localhost/credentials/windows", `{"packageSid":"ms-app://s-1","secret":"s","appIds":["Game!App"]}`
	for i := range carillon.MaxCredentials + 1 {
		set := fmt.Sprintf("/set-%d", i)
		if i == 0 {
			set = ""
		}
		if r := o.call("PUT", path+set, admin, body); i < carillon.MaxCredentials && r.status != 200 || i == carillon.MaxCredentials && r.status != 400 {
			t.Errorf("set %d: %d %s", i, r.status, r.body)
		}
	}
	if r := o.call("PUT", path+"/Bad.Name", admin, body); r.status != 400 || !strings.Contains(string(r.body), "lower-case") {
		t.Errorf("a bad name: %d %s", r.status, r.body)
	}
	if r := o.call("DELETE", path+"/set-3", admin, ""); r.status != 204 {
		t.Errorf("%d %s", r.status, r.body)
	}
	app, _ := o.registry.Apps().Host("shop.localhost")
	sets := app.CredentialsFor(carillon.Windows)
	if len(sets) != carillon.MaxCredentials-1 || sets[0].Set != "" || sets[1].Set != "set-1" || sets[1].AppIDs[0] != "Game!App" {
		t.Errorf("%d sets: %+v", len(sets), sets)
	}
	if r := o.call("GET", "/api/v1/apps/shop.localhost", admin, ""); !strings.Contains(string(r.body), `"set":"set-1","appIds":["Game!App"]`) {
		t.Errorf("shown: %s", r.body)
	}
	for _, wrong := range []string{
		`{"certificate":"x","keyId":"ABCDEFGHIJ"}`, `{"certificate":"x","key":"y"}`, `{"key":"x","password":"p","keyId":"ABCDEFGHIJ","teamId":"ABCDEFGHIJ"}`,
	} {
		if r := o.call("PUT", "/api/v1/apps/shop.localhost/credentials/ios/c", admin, wrong); r.status != 400 {
			t.Errorf("%s: %d %s", wrong, r.status, r.body)
		}
	}
	if r := o.call("PUT", "/api/v1/apps/shop.localhost/credentials/ios/c", admin, `{"certificate":"eA==","password":"planted-password"}`); r.status != 200 || strings.Contains(string(r.body), "planted") {
		t.Errorf("%d %s", r.status, r.body)
	}
	app, _ = o.registry.Apps().Host("shop.localhost")
	if c := app.CredentialsFor(carillon.IOS); len(c) != 1 || !c[0].Certificate || string(c[0].Content) != "x" || c[0].Secret != "planted-password" {
		t.Errorf("the certificate: %+v", c)
	}
	if r := o.call("DELETE", "/api/v1/apps/shop.localhost", admin, ""); r.status != 204 {
		t.Errorf("%d %s", r.status, r.body)
	}
	for key, row := range o.rows {
		if row != nil && strings.HasPrefix(key, "app/shop.localhost") {
			t.Errorf("%s is left of a removed app", key)
		}
	}
}

// An app is paused and goes on, also one of the configuration.
func TestAppState(t *testing.T) {
	o := newOnboarding(t)
	admin := o.admin(t)
	var told []string
	o.registry.OnPause(func(host string, paused bool) { told = append(told, fmt.Sprint(host, " ", paused)) })
	o.call("PUT", "/api/v1/apps/shop.localhost", admin, "")
	for _, tt := range []struct {
		host, body string
		status     int
		says       string
	}{
		{host, `{"state":"paused"}`, 200, `"state":"paused"`},
		{host, `{"state":"running"}`, 200, `"state":"running"`},
		{"shop.localhost", `{"state":"paused"}`, 200, `"state":"paused"`},
		{"SHOP.localhost", `{"state":"paused"}`, 200, `"state":"paused"`},
		{"none.localhost", `{"state":"paused"}`, 404, "comes first"},
		{host, `{"state":"stopped"}`, 400, "neither running nor paused"},
		{host, `{}`, 400, "neither running nor paused"},
		{host, `{"paused":true}`, 400, "has no member"},
	} {
		if r := o.call("PATCH", "/api/v1/apps/"+tt.host, admin, tt.body); r.status != tt.status || !strings.Contains(string(r.body), tt.says) {
			t.Errorf("%s %s: %d %s, want %d with %q", tt.host, tt.body, r.status, r.body, tt.status, tt.says)
		}
	}
	if r := o.call("GET", "/api/v1/apps/shop.localhost", admin, ""); !strings.Contains(string(r.body), `"state":"paused"`) {
		t.Errorf("shown: %s", r.body)
	}
	o.call("DELETE", "/api/v1/apps/shop.localhost", admin, "")
	want := []string{host + " true", host + " false", "shop.localhost true", "shop.localhost true", "shop.localhost false"}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("the dispatcher was told %v, want %v", told, want)
	}
	if !strings.Contains(o.acts.String(), "app.state") {
		t.Error("the act is not written down")
	}
}
