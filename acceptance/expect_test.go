//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// headers compares the headers that are named.
func headers(t *testing.T, p push, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name := range want {
		got[name] = p.Headers[name]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s\nall: %v", diff, p.Headers)
	}
}

// payload compares a JSON body; ID and POS stand for the notification's id and
// for its version, which is not known before.
func payload(t *testing.T, p push, want, id string) {
	t.Helper()
	want = strings.NewReplacer("ID", id, "POS", p.Version).Replace(want)
	var w, g any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if err := json.Unmarshal([]byte(unwrapped(p.Body)), &g); err != nil {
		t.Fatalf("%v: %s", err, p.Body)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if p.Version == "" || p.Status != 200 {
		t.Errorf("no version, or not accepted: %s", p.whole)
	}
}

// unwrapped is a body that the inbox shows as a JSON string, or as it is.
func unwrapped(body json.RawMessage) string {
	var s string
	if json.Unmarshal(body, &s) == nil {
		return s
	}
	return string(body)
}

func unescaped(body json.RawMessage) string {
	return strings.ReplaceAll(unwrapped(body), `"`, `\"`)
}

// ttlOf is FCM's android.ttl in seconds.
func ttlOf(t *testing.T, p push) int {
	t.Helper()
	var body struct {
		Message struct{ Android struct{ TTL string } }
	}
	if err := json.Unmarshal(p.Body, &body); err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(body.Message.Android.TTL, "s"))
	if err != nil {
		t.Fatalf("android.ttl %q: %v", body.Message.Android.TTL, err)
	}
	return n
}

// history lists the ids that the user's GET gives, the newest first.
func history(t *testing.T, p *person) []string {
	t.Helper()
	r := p.get(t, "/beta/me/notifications?$top=1000").want(t, 200)
	var list struct{ Value []struct{ ID string } }
	if err := json.Unmarshal(r.text, &list); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, n := range list.Value {
		ids = append(ids, n.ID)
	}
	return ids
}

// deliveredTo waits until the sender reads this of the deliveries: installation,
// kind and outcome of each, in order of the installation.
func deliveredTo(t *testing.T, s *site, p *person, id, want string) {
	t.Helper()
	var got string
	defer func() {
		if t.Failed() {
			t.Logf("deliveries of %s: %q", id, got)
		}
	}()
	until(t, ringLimit, "deliveries of "+id+" are "+want, func() bool {
		r := s.call(t, s.app, "GET", "/api/v1/users/"+p.id+"/notifications/"+id+"/deliveries", nil).want(t, 200)
		var list struct {
			Deliveries []struct{ Endpoint, Kind, Outcome string }
		}
		if err := json.Unmarshal(r.text, &list); err != nil {
			t.Fatal(err)
		}
		var each []string
		for _, d := range list.Deliveries {
			each = append(each, d.Endpoint+" "+d.Kind+" "+d.Outcome)
		}
		got = sorted(each)
		return got == want
	})
}
