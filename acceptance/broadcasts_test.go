//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	castLimit = 3 * time.Minute
	// castDevices is up to how many devices the sandbox surely remembers the pushes of.
	castDevices = 100_000
)

// TestBroadcasts posts one content to CARILLON_BROADCAST (5,000) users with a
// device each: posted twice, the second time over a kill -9, it rings nobody twice;
// another one is cancelled in flight, hand-offs cease within a second and the audit
// closes; a third is paused over a kill -9, paced, and recalled. By hand:
//
//	CARILLON_BROADCAST=1000000 RUN=TestBroadcasts make acceptance
func TestBroadcasts(t *testing.T) {
	n, dir := number(t, "CARILLON_BROADCAST", 5000), workDir(t)
	endpoints := filepath.Join(dir, "in.ndjson")
	writeEndpoints(t, endpoints, n)
	s := serve(t, filepath.Join(dir, "data"))
	carillon(t, "endpoint", "import", "--url", s.url, "--data", s.data, "--app", host, endpoints)

	first := s.cast(t, "first", n, 202)
	until(t, castLimit, "half of it has rung", func() bool { return s.castOutcome(t, first, "accepted") >= n/2 })
	s.kill()
	s = serve(t, s.data)
	if again := s.cast(t, "first", n, 202); again != first {
		t.Errorf("posted again it is %s, not %s", again, first)
	}
	until(t, castLimit, "all of it has rung", func() bool { return s.castOutcome(t, first, "accepted") == n })
	closes(t, s, int64(n))
	r := s.call(t, s.app, "GET", "/api/v1/broadcasts/"+first, nil).want(t, 200)
	if r.body["notifications"] != float64(n) || r.body["planned"] != float64(n) || r.body["waiting"] != float64(0) {
		t.Errorf("counted: %s", r.text)
	}

	// The second one is cancelled while it is posted, which takes as long as it rings; a
	// small one may be posted by then.
	posted := make(chan int, 1)
	go func() {
		status, _, _ := s.postCast(t, "second", n)
		posted <- status
	}()
	var second string
	until(t, castLimit, "it rings", func() bool {
		list, _ := s.call(t, s.app, "GET", "/api/v1/broadcasts?host="+host, nil).want(t, 200).body["value"].([]any)
		for _, b := range list {
			if at(b, "key") == "second" {
				second, _ = at(b, "id").(string)
				rang, _ := at(b, "outcomes", "accepted").(float64)
				return int(rang) >= n/100
			}
		}
		return false
	})
	begin := time.Now()
	s.call(t, s.app, "PATCH", "/api/v1/broadcasts/"+second, map[string]string{"state": "cancelled"}).want(t, 200)
	handed := func() int { return s.metric(t, "carillon_dispatch_pushes_handed_total") }
	last, at := handed(), time.Now()
	until(t, castLimit, "all of it is over", func() bool {
		if now := handed(); now != last {
			last, at = now, time.Now()
		}
		b := s.call(t, s.app, "GET", "/api/v1/broadcasts/"+second, nil).want(t, 200).body
		return b["waiting"] == float64(0) && time.Since(at) > time.Second
	})
	if status := <-posted; status != 409 && status != 202 {
		t.Errorf("the posting that was cancelled is answered %d", status)
	}
	t.Logf("%d of %d had gone when it was cancelled; the last hand-off was %v after that", s.castOutcome(t, second, "accepted"), n, at.Sub(begin).Round(time.Millisecond))
	if at.Sub(begin) > time.Second+100*time.Millisecond { // what it takes to ask
		t.Errorf("hand-offs went on for %v", at.Sub(begin))
	}
	s.cast(t, "second", n, 409)
	s = steered(t, s, n)
	until(t, castLimit, "the audit closes", func() bool { a := s.audit(t); return a.Closed && a.Unsettled+a.Due+a.Parked == 0 })
	s.stop(t)
	carillon(t, "audit", "--data", s.data)
}

// steered posts a third broadcast by the command: paused from its beginning and over
// a kill -9, let go on at a pace, and taken back from everybody.
func steered(t *testing.T, s *site, n int) *site {
	t.Helper()
	phone := s.person(t, "import-1").register(t, "ios", "")
	say := func(args ...string) string {
		return carillon(t, append([]string{"broadcast", args[0], "--url", s.url, "--data", s.data, "--app", host}, args[1:]...)...)
	}
	third := s.cast(t, "third", 0, 202)
	say("pause", third)
	users, note := filepath.Join(s.data, "users.txt"), filepath.Join(s.data, "note.json")
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "dev.import-%d\n", i)
	}
	for file, text := range map[string]string{users: lines.String(), note: fmt.Sprintf(`{"targetHostName":%q,"payload":{"visualContent":{"title":"To all"}}}`, host)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := say("send", "--key", "third", "--notification", note, users); !strings.Contains(out, third) || !strings.Contains(out, "paused") {
		t.Errorf("broadcast send: %s", out)
	}
	status := func() map[string]any {
		return s.call(t, s.app, "GET", "/api/v1/broadcasts/"+third, nil).want(t, 200).body
	}
	until(t, castLimit, "all of it waits", func() bool { return status()["waiting"] == float64(n+1) })
	s.kill()
	s = serve(t, s.data)
	phone.s = s
	if b := status(); b["state"] != "paused" || b["boundBy"] != "paused" || b["waiting"] != float64(n+1) || len(phone.tray(t)) > 0 {
		t.Errorf("after kill -9: %v; the tray: %v", b, phone.tray(t))
	}
	pace := n / 2
	say("pace", third, fmt.Sprint(pace))
	begin := time.Now()
	say("resume", third)
	until(t, castLimit, "all of it has rung", func() bool { return s.castOutcome(t, third, "accepted") == n+1 })
	took := time.Since(begin)
	t.Logf("%d deliveries at %d a second took %v", n+1, pace, took.Round(time.Millisecond))
	if least := time.Duration(float64(n+1)/float64(pace)*1000)*time.Millisecond - 200*time.Millisecond; took < least {
		t.Errorf("it went faster than its pace: in %v, not %v", took, least)
	}
	if n <= castDevices {
		phone.rung(t, 1)
	}
	until(t, ringLimit, "it is finished", func() bool { return status()["state"] == "finished" })
	if list := say("list"); !strings.Contains(list, third) || strings.Count(list, "\n") != 4 {
		t.Errorf("broadcast list: %s", list)
	}
	begin = time.Now()
	say("recall", third)
	until(t, castLimit, "it is taken back", func() bool { return at(status(), "recall", "state") == "finished" })
	t.Logf("it is taken back from %v users in %v", at(status(), "recall", "notifications"), time.Since(begin).Round(time.Millisecond))
	if back := at(status(), "recall", "notifications"); back != float64(n) {
		t.Errorf("it is taken back from %v of %d users", back, n)
	}
	until(t, ringLimit, "the phone shows nothing", func() bool { return len(phone.tray(t)) == 0 })
	return s
}

// cast posts a broadcast to the users of writeEndpoints, a line each; its id.
func (s *site) cast(t *testing.T, key string, users, status int) string {
	t.Helper()
	got, id, text := s.postCast(t, key, users)
	if got != status {
		t.Fatalf("a broadcast: %d, want %d: %s", got, status, text)
	}
	return id
}

// postCast posts it; the status is 0 when there is no answer.
func (s *site) postCast(t *testing.T, key string, users int) (status int, id, text string) {
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"key":%q,"notification":{"targetHostName":%q,"payload":{"visualContent":{"title":"To all"}}}}`+"\n", key, host)
	for i := range users {
		fmt.Fprintf(&body, "\"dev.import-%d\"\n", i)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/v1/broadcasts", &body)
	if err != nil {
		return 0, "", err.Error()
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Authorization", "Bearer "+s.app)
	patient := *s.http
	patient.Timeout = castLimit
	res, err := patient.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer res.Body.Close()
	var answer struct{ ID string }
	b, err := io.ReadAll(res.Body)
	if err != nil || json.Unmarshal(b, &answer) != nil {
		return 0, "", string(b)
	}
	return res.StatusCode, answer.ID, string(b)
}

// castOutcome is how many of a broadcast's deliveries ended so.
func (s *site) castOutcome(t *testing.T, id, class string) int {
	t.Helper()
	r := s.call(t, s.app, "GET", "/api/v1/broadcasts/"+id, nil).want(t, 200)
	n, _ := at(r.body, "outcomes", class).(float64)
	return int(n)
}
