//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCredentialRotation changes an app's APNs key under load: nothing is lost,
// and ten seconds later nothing goes out under the old key any more, so that it
// can be revoked. Then a certificate takes the key's place, and a second set
// serves one identity alone.
func TestCredentialRotation(t *testing.T) {
	s := serve(t, workDir(t)+"/data")
	r := newRotation(t, s)
	old := r.key(t, "")
	r.put(t, "ios", map[string]any{"key": old.pem, "keyId": old.KeyID, "teamId": old.TeamID})
	r.register(t, 100)

	next := r.key(t, "")
	var changed, revoked time.Time
	sent := 0
	begin := time.Now()
	for tick := 0; revoked.IsZero() || time.Since(revoked) < 2*time.Second; tick++ {
		sent += r.send(t, fmt.Sprint("tick-", tick))
		switch {
		case changed.IsZero() && time.Since(begin) > 2*time.Second:
			r.put(t, "ios", map[string]any{"key": next.pem, "keyId": next.KeyID, "teamId": next.TeamID})
			changed = time.Now()
		case !changed.IsZero() && revoked.IsZero() && time.Since(changed) > 10*time.Second:
			fetch(t, s.http, s.ops+"/sandbox/keys?keyId="+old.KeyID, "", "DELETE", nil).want(t, 200)
			revoked = time.Now()
			if u := r.uses(t)[next.KeyID]; u.Pushes == 0 {
				t.Error("the new key is not used")
			}
		case !changed.IsZero() && revoked.IsZero():
			if u := r.uses(t)[old.KeyID]; u.Last.Sub(changed) > 0 {
				r.lag = max(r.lag, u.Last.Sub(changed))
			}
		}
	}
	t.Logf("%d notifications in %v; the old key was last used %v after the new one was taken", sent, time.Since(begin).Round(time.Second), r.lag.Round(time.Millisecond))
	if r.lag > 10*time.Second {
		t.Errorf("the old key was used for %v", r.lag)
	}
	until(t, ringLimit, "all of it is applied", func() bool { return s.audit(t).Items == int64(sent) })
	closes(t, s, int64(sent))

	var certificate struct{ PEM []byte }
	answer := fetch(t, s.http, s.ops+"/sandbox/certificates", "", "POST", map[string]string{"bundle": bundle, "environment": "production"}).want(t, 200)
	if err := json.Unmarshal(answer.text, &certificate); err != nil {
		t.Fatal(err)
	}
	r.put(t, "ios", map[string]any{"certificate": string(certificate.PEM)})
	other := r.key(t, "OTHERTEAM1")
	r.put(t, "ios/game", map[string]any{"key": other.pem, "keyId": other.KeyID, "teamId": other.TeamID, "appIds": []string{"com.example.game"}})
	before := r.uses(t)
	r.endpoint(t, "dev.gamer", "com.example.game")
	sent += r.send(t, "certificate")
	sent += r.post(t, `{"userId":"dev.gamer",`+r.note("game"))
	until(t, ringLimit, "all of it is applied", func() bool { return s.audit(t).Items == int64(sent) })
	closes(t, s, int64(sent))
	after := r.uses(t)
	if n := after[next.KeyID].Pushes - before[next.KeyID].Pushes; n != 0 {
		t.Errorf("%d pushes went out under the key that a certificate replaced", n)
	}
	if n := after[other.KeyID].Pushes; n != 1 {
		t.Errorf("%d pushes went out under the second set, want 1", n)
	}
	s.stop(t)
}

// rotation is an app of its own whose credentials change.
type rotation struct {
	s             *site
	admin, server string
	users         int
	lag           time.Duration
}

const rotating = "rotate.localhost"

func newRotation(t *testing.T, s *site) *rotation {
	t.Helper()
	r := &rotation{
		s:      s,
		admin:  strings.TrimSpace(carillon(t, "token", "--data", s.data, "--admin")),
		server: strings.TrimSpace(carillon(t, "token", "--data", s.data, "--client", "rotate-server")),
	}
	path := "/api/v1/apps/" + rotating
	s.call(t, r.admin, "PUT", path, nil).want(t, 201)
	s.call(t, r.admin, "PUT", path+"/clients", map[string]any{"clients": []string{"rotate-server"}}).want(t, 200)
	return r
}

// rotationKey is an APNs key of the sandbox.
type rotationKey struct {
	KeyID, TeamID, KeyFile string

	pem string
}

func (r *rotation) key(t *testing.T, team string) rotationKey {
	t.Helper()
	var k rotationKey
	answer := fetch(t, r.s.http, r.s.ops+"/sandbox/keys", "", "POST", map[string]string{"teamId": team}).want(t, 200)
	if err := json.Unmarshal(answer.text, &k); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(k.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	k.pem = string(b)
	return k
}

// keyUse is how the sandbox saw a key.
type keyUse struct {
	KeyID  string
	Pushes int64
	Last   time.Time
	Tokens int64
}

func (r *rotation) uses(t *testing.T) map[string]keyUse {
	t.Helper()
	var uses []keyUse
	answer := fetch(t, r.s.http, r.s.ops+"/sandbox/keys", "", "GET", nil).want(t, 200)
	if err := json.Unmarshal(answer.text, &uses); err != nil {
		t.Fatal(err)
	}
	by := make(map[string]keyUse)
	for _, u := range uses {
		by[u.KeyID] = u
	}
	return by
}

func (r *rotation) put(t *testing.T, set string, body map[string]any) {
	t.Helper()
	body["sandbox"] = true
	r.s.call(t, r.admin, "PUT", "/api/v1/apps/"+rotating+"/credentials/"+set, body).want(t, 200)
}

func (r *rotation) register(t *testing.T, users int) {
	t.Helper()
	for i := range users {
		r.endpoint(t, fmt.Sprint("dev.rotate-", i), bundle)
	}
	r.users = users
}

func (r *rotation) endpoint(t *testing.T, user, appID string) {
	t.Helper()
	r.s.call(t, r.server, "PUT", "/api/v1/users/"+user+"/endpoints/phone", map[string]string{
		"host": rotating, "platform": "ios", "address": address("ios", user), "appId": appID,
	}).want(t, 200)
}

func (r *rotation) note(title string) string {
	return fmt.Sprintf(`"targetHostName":%q,"payload":{"visualContent":{"title":%q}}}`, rotating, title)
}

// send notifies every user; how many.
func (r *rotation) send(t *testing.T, title string) int {
	t.Helper()
	lines := make([]string, r.users)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"userId":"dev.rotate-%d",`, i) + r.note(title)
	}
	return r.post(t, lines...)
}

func (r *rotation) post(t *testing.T, lines ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.s.url+"/api/v1/notifications", strings.NewReader(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Authorization", "Bearer "+r.server)
	req.Header.Set("Prefer", "return=minimal")
	res, err := r.s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var last struct {
		Summary struct{ Accepted, Failed int }
	}
	if err := json.NewDecoder(res.Body).Decode(&last); err != nil || res.StatusCode != 200 || last.Summary.Failed != 0 {
		t.Fatalf("status %d, %v, %+v", res.StatusCode, err, last)
	}
	return len(lines)
}
