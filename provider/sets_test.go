package provider_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"carillon"
	"carillon/provider"
	"carillon/provider/sandbox"
)

// TestSets: each push goes out under the set that serves its endpoint, and a set
// that cannot be used leaves the others alone.
func TestSets(t *testing.T) {
	var second sandbox.APNsKey
	r := newRig(t, ways()[0], func(r *rig) {
		var err error
		if second, err = r.server.IssueAPNsKey("OTHERTEAM1", ""); err != nil {
			t.Fatal(err)
		}
		r.app.Credentials = append(r.app.Credentials,
			carillon.Credential{Platform: carillon.IOS, Set: "broken", Content: []byte("no key"), KeyID: "ABCDEFGHIJ", TeamID: "ABCDEFGHIJ", AppIDs: []string{"com.example.none"}},
			carillon.Credential{Platform: carillon.IOS, Set: "game", File: second.KeyFile, KeyID: second.KeyID, TeamID: second.TeamID, AppIDs: []string{"com.example.game"}})
	})
	for i, appID := range []string{"com.example.app", "com.example.game", "com.example.game"} {
		p := r.push(appID, carillon.KindAlert, nil)
		p.Endpoint.AppID = appID
		p.Endpoint.Address = r.address(appID)
		if got := r.sent(t, p).Outcome; got.Class != carillon.Accepted {
			t.Errorf("push %d, to %s: %+v", i, appID, got)
		}
	}
	for _, u := range r.server.KeyUses() {
		if want := map[bool]int64{true: 2, false: 1}[u.KeyID == second.KeyID]; u.Pushes != want {
			t.Errorf("the key of team %s was used %d times, want %d", u.TeamID, u.Pushes, want)
		}
	}
}

// TestCertificate: an APNs certificate, as PEM and as PKCS #12, speaks for its
// topics without provider tokens, and its end is told.
func TestCertificate(t *testing.T) {
	for _, form := range []string{"pem", "p12"} {
		t.Run(form, func(t *testing.T) {
			r := newRig(t, ways()[0], func(r *rig) {
				r.app.Credentials[0] = certificate(t, r, form, "production", r.clock.Now().Add(time.Hour))
			})
			for range 3 {
				if got := r.sent(t, r.push("a", carillon.KindAlert, nil)).Outcome; got.Class != carillon.Accepted {
					t.Errorf("got %+v", got)
				}
			}
			p := r.push("b", carillon.KindAlert, nil)
			p.Endpoint.AppID = "com.example.other"
			if got := r.answer(t, p).Outcome; got.Class != carillon.Rejected || got.Reason != "TopicDisallowed" {
				t.Errorf("a topic that the certificate does not have: %+v", got)
			}
			for _, u := range r.server.KeyUses() {
				if u.Pushes != 0 {
					t.Errorf("%d pushes came with a provider token", u.Pushes)
				}
			}
			r.clock.Move(2 * time.Hour)
			p = r.push("a", carillon.KindAlert, nil)
			if got := r.answer(t, p).Outcome; got.Class != carillon.WrongCredential || got.Reason != "BadCertificate" {
				t.Errorf("after its end: %+v", got)
			}
		})
	}
}

func certificate(t *testing.T, r *rig, form, environment string, until time.Time) carillon.Credential {
	t.Helper()
	c, err := r.server.IssueAPNsCertificate("com.example.app", environment, until)
	if err != nil {
		t.Fatal(err)
	}
	cred := carillon.Credential{Platform: carillon.IOS, Certificate: true, Content: c.PEM}
	if form == "p12" {
		pair, err := tls.X509KeyPair(c.PEM, c.PEM)
		if err != nil {
			t.Fatal(err)
		}
		if cred.Content, err = pkcs12.Modern.Encode(pair.PrivateKey, pair.Leaf, nil, "hush"); err != nil {
			t.Fatal(err)
		}
		cred.Secret = "hush"
	}
	return cred
}

// TestCertificateFaults: what cannot be used is refused before it is kept.
func TestCertificateFaults(t *testing.T) {
	r := newRig(t, ways()[0], nil)
	v := provider.New(r.cfg, func() *carillon.Apps { return nil }, r.clock, discard())
	wrong := certificate(t, r, "p12", "", r.clock.Now().Add(time.Hour))
	wrong.Secret = "guess"
	for _, tt := range []struct {
		name string
		cred carillon.Credential
		says string
	}{
		{"expired", certificate(t, r, "pem", "", r.clock.Now().Add(-time.Minute)), "expired on"},
		{"password", wrong, "password"},
		{"no key", carillon.Credential{Platform: carillon.IOS, Certificate: true, Content: r.server.CAPEM()}, "private key"},
		{"nonsense", carillon.Credential{Platform: carillon.IOS, Certificate: true, Content: []byte("x")}, "neither PEM nor PKCS #12"},
	} {
		if err := v.Check(t.Context(), tt.cred); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}
