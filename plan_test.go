package carillon_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
)

func TestPlan(t *testing.T) {
	const now = 1000
	ep := func(id string, p carillon.Platform, push carillon.Preference, expires int64) carillon.Endpoint {
		return carillon.Endpoint{ID: id, Platform: p, Push: push, Expires: expires}
	}
	all := []carillon.Endpoint{
		ep("w", carillon.Windows, carillon.WithPayload, 2000),
		ep("i", carillon.IOS, carillon.WithPayload, 2000),
		ep("a", carillon.Android, carillon.TapOnly, 2000),
		ep("quiet", carillon.IOS, carillon.NoPush, 2000),
		ep("old", carillon.IOS, carillon.WithPayload, now),
		ep("poll", carillon.Polling, carillon.WithPayload, 2000),
	}
	f := func(name string, n carillon.Notification, want map[string]carillon.Kind) {
		t.Helper()
		got := map[string]carillon.Kind{}
		for _, target := range carillon.Plan(nil, &n, all, now) {
			got[target.Endpoint.ID] = target.Kind
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	f("visual", carillon.Notification{HasVisual: true, Title: "t"},
		map[string]carillon.Kind{"w": carillon.KindAlert, "i": carillon.KindAlert, "a": carillon.KindTap})
	f("raw", carillon.Notification{HasRaw: true},
		map[string]carillon.Kind{"w": carillon.KindData, "i": carillon.KindData, "a": carillon.KindTap})
	f("both", carillon.Notification{HasVisual: true, HasRaw: true},
		map[string]carillon.Kind{"w": carillon.KindAlert, "i": carillon.KindAlert, "a": carillon.KindTap})
	f("one platform", carillon.Notification{HasRaw: true, Targets: carillon.PlatformSet(0).With(carillon.Windows)},
		map[string]carillon.Kind{"w": carillon.KindData})
	f("web only", carillon.Notification{HasRaw: true, Targets: carillon.PlatformSet(0).With(carillon.Web)},
		map[string]carillon.Kind{})
}
