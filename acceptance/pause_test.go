//go:build acceptance

package acceptance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAppPause stops an app of the configuration with a command: what is sent
// waits, also over a kill -9, and rings when the app goes on. Administrators alone
// may, and it is written down.
func TestAppPause(t *testing.T) {
	data := filepath.Join(workDir(t), "data")
	s := serve(t, data)
	phone := s.person(t, "ann").register(t, "ios", "")
	send := func(title string) {
		s.call(t, s.app, "POST", "/beta/users/dev.ann/notifications", map[string]any{
			"targetHostName": host, "payload": map[string]any{"visualContent": map[string]string{"title": title}},
		}).want(t, 201)
	}
	state := func(verb string) string {
		return carillon(t, "app", verb, host, "--url", s.url, "--data", data)
	}
	send("before")
	phone.rung(t, 1)
	s.call(t, s.app, "PATCH", "/api/v1/apps/"+host, map[string]string{"state": "paused"}).refuses(t, 403, "Carillon.Admin")
	if out := state("pause"); !strings.Contains(out, "paused") {
		t.Errorf("app pause: %s", out)
	}
	for range 10 {
		send("while it is paused")
	}
	parked := func() bool { return s.audit(t).Parked == 10 }
	until(t, ringLimit, "all is parked", parked)
	s.kill()
	s = serve(t, data)
	phone.s = s
	until(t, ringLimit, "all is parked after kill -9", parked)
	state("resume")
	phone.rung(t, 10)
	until(t, ringLimit, "nothing waits", func() bool { a := s.audit(t); return a.Parked == 0 && a.Closed })
	s.stop(t)
	carillon(t, "audit", "--data", data)
	log, err := os.ReadFile(filepath.Join(data, "audit.log"))
	if err != nil || strings.Count(string(log), `"act":"app.state"`) != 3 || !strings.Contains(string(log), `"result":"accessDenied"`) {
		t.Errorf("the audit log: %v\n%s", err, log)
	}
}
