package gateway_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/gateway"
	"carillon/internal/auth"
)

// An app sends ten a second, singly or in bulk; what is over is answered 429 and
// when to come again, as a whole and before anything is journalled, and other apps
// do not notice.
func TestQuota(t *testing.T) {
	r := newRig(t, gateway.Config{})
	token := r.token(auth.DevClaims{Client: "client-4"})
	line := func(host string) string {
		return `{"targetHostName":"` + host + `","userId":"dev.bob","payload":{"rawContent":"x"}}` + "\n"
	}
	const limited = "limited.example.com"
	single := func() *answer {
		return r.call("POST", "/beta/users/dev.bob/notifications", token, strings.TrimSpace(strings.Replace(line(limited), `"userId":"dev.bob",`, "", 1)))
	}
	refused := func(a *answer, want int) {
		t.Helper()
		code, target, message := a.fault()
		after, _ := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status != 429 || code != "activityLimitReached" || target != "targetHostName" || !strings.Contains(message, "10 a second") || after != want {
			t.Fatalf("%d %s, Retry-After %d, want %d", a.status, a.body, after, want)
		}
	}
	for range 4 {
		if a := single(); a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	bulk := strings.Repeat(line(limited), 30) + "nonsense\n" + line(host) // the nonsense and the other's host count for nothing
	if a := r.call("POST", "/api/v1/notifications", token, bulk, "Content-Type", "application/x-ndjson"); a.status != 200 || strings.Count(string(a.body), `"id"`) != 30 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	journalled := len(r.journal.all())
	refused(r.call("POST", "/api/v1/notifications", token, line(limited)+line(limited), "Content-Type", "application/x-ndjson"), 3)
	refused(single(), 3)
	if n := len(r.journal.all()); n != journalled {
		t.Errorf("%d records more are journalled", n-journalled)
	}
	if a := r.call("POST", "/api/v1/notifications", r.app(), line(host), "Content-Type", "application/x-ndjson"); a.status != 200 {
		t.Errorf("another app: %d %s", a.status, a.body)
	}
	r.clock.Move(3 * time.Second)
	token = r.token(auth.DevClaims{Client: "client-4"})
	if a := single(); a.status != 201 {
		t.Errorf("after the time: %d %s", a.status, a.body)
	}
}

func TestQuotaIsOnboarded(t *testing.T) {
	o := newOnboarding(t)
	admin := o.admin(t)
	put := func(path, body string) *answer { return o.call("PUT", "/api/v1/apps/"+path, admin, body) }
	put("shop.localhost", "")
	for body, want := range map[string]int{`{"perSecond":-1}`: 400, `{"perDay":1000000000001}`: 400, `{"perHour":1}`: 400, `{"perSecond":5}`: 200} {
		if a := put("shop.localhost/quota", body); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := put("none.localhost/quota", `{"perSecond":5}`); a.status != 404 {
		t.Errorf("no app: %d %s", a.status, a.body)
	}
	a := put("shop.localhost/quota", `{"perSecond":7,"perDay":100}`)
	if q, _ := a.object()["quota"].(map[string]any); q["perSecond"] != 7.0 || q["perDay"] != 100.0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if app, ok := o.registry.Apps().Host("shop.localhost"); !ok || app.Quota.PerSecond != 7 || app.Quota.PerDay != 100 {
		t.Errorf("%+v", app)
	}
	if a := put("shop.localhost/quota", `{}`); a.object()["quota"] != nil {
		t.Errorf("without a limit: %s", a.body)
	}
	if !strings.Contains(o.acts.String(), "app.quota") {
		t.Error("the audit log does not tell")
	}
}
