package carillon_test

import (
	"strings"
	"testing"
	"time"

	"carillon"
)

func TestNotificationValidate(t *testing.T) {
	const now = int64(1_700_000_000_000)
	day := (24 * time.Hour).Milliseconds()
	valid := carillon.Notification{HasVisual: true, Title: "t", Expires: now + day, TTL: -1, Badge: -1}
	f := func(name, target string, change func(*carillon.Notification)) {
		t.Helper()
		n := valid
		change(&n)
		err := n.Validate(now)
		switch {
		case target == "ok" && err != nil:
			t.Errorf("%s: %v", name, err)
		case target != "ok" && err == nil:
			t.Errorf("%s: passes", name)
		case target != "ok" && carillon.AsError(err).Target != target:
			t.Errorf("%s: target %q, want %q", name, carillon.AsError(err).Target, target)
		}
	}
	const fallback = "fallbackPolicy.endpointFallback"
	f("valid", "ok", func(*carillon.Notification) {})
	f("no payload", "payload", func(n *carillon.Notification) { n.HasVisual = false })
	f("visual without title", "payload.visualContent.title", func(n *carillon.Notification) { n.Title = "" })
	f("long title", "payload.visualContent.title", func(n *carillon.Notification) { n.Title = strings.Repeat("t", 257) })
	f("long body", "payload.visualContent.body", func(n *carillon.Notification) { n.Body = strings.Repeat("t", 2049) })
	f("long raw", "payload.rawContent", func(n *carillon.Notification) { n.HasRaw, n.Raw = true, strings.Repeat("t", 4097) })
	f("past", "expirationDateTime", func(n *carillon.Notification) { n.Expires = now })
	f("31 days", "expirationDateTime", func(n *carillon.Notification) { n.Expires = now + 31*day })
	f("30 days", "ok", func(n *carillon.Notification) { n.Expires = now + 30*day })
	f("long key", "appNotificationId", func(n *carillon.Notification) { n.AppNotificationID = strings.Repeat("k", 257) })
	f("TTL", "displayTimeToLive", func(n *carillon.Notification) { n.TTL = -2 })
	f("fallback", "ok", func(n *carillon.Notification) { n.Fallback = carillon.Fallback{Delay: 60, Title: "t"} })
	f("early fallback", fallback+".fallbackDelayInSeconds", func(n *carillon.Notification) { n.Fallback = carillon.Fallback{Delay: 59, Title: "t"} })
	f("late fallback", fallback+".fallbackDelayInSeconds", func(n *carillon.Notification) { n.Fallback = carillon.Fallback{Delay: 601, Title: "t"} })
	f("fallback without title", fallback+".visualContent.title", func(n *carillon.Notification) { n.Fallback = carillon.Fallback{Delay: 60} })
	f("fallback without iOS", fallback, func(n *carillon.Notification) {
		n.Fallback = carillon.Fallback{Delay: 60, Title: "t"}
		n.Targets = carillon.PlatformSet(0).With(carillon.Windows)
	})
}
