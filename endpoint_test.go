package carillon_test

import (
	"strings"
	"testing"

	"carillon"
)

func TestEndpointValidate(t *testing.T) {
	valid := carillon.Endpoint{ID: "phone-1", Platform: carillon.IOS, Address: "00ff", AppID: "com.example.app"}
	f := func(name, target string, change func(*carillon.Endpoint)) {
		t.Helper()
		e := valid
		change(&e)
		err := e.Validate()
		switch {
		case target == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case target != "" && err == nil:
			t.Errorf("%s: passes", name)
		case target != "" && carillon.AsError(err).Target != target:
			t.Errorf("%s: target %q, want %q", name, carillon.AsError(err).Target, target)
		}
	}
	windows := func(uri string) func(*carillon.Endpoint) {
		return func(e *carillon.Endpoint) { e.Platform, e.Address = carillon.Windows, uri }
	}
	f("valid", "", func(*carillon.Endpoint) {})
	f("no id", "installationId", func(e *carillon.Endpoint) { e.ID = "" })
	f("a slash in the id", "installationId", func(e *carillon.Endpoint) { e.ID = "a/b" })
	f("a long id", "installationId", func(e *carillon.Endpoint) { e.ID = strings.Repeat("a", 129) })
	f("no platform", "platform", func(e *carillon.Endpoint) { e.Platform = carillon.PlatformNone })
	f("odd token", "address", func(e *carillon.Endpoint) { e.Address = "abc" })
	f("no hex", "address", func(e *carillon.Endpoint) { e.Address = "zz" })
	f("no bundle", "appId", func(e *carillon.Endpoint) { e.AppID = "" })
	f("environment", "environment", func(e *carillon.Endpoint) { e.Environment = "staging" })
	f("polling with address", "address", func(e *carillon.Endpoint) { e.Platform = carillon.Polling })
	f("polling", "", func(e *carillon.Endpoint) { e.Platform, e.Address = carillon.Polling, "" })
	f("channel", "", windows("https://wns2-by3p.notify.windows.com/?token=AwYAAAD%2f%2b"))
	f("upper-case channel", "", windows("https://WNS2.NOTIFY.WINDOWS.COM/?token=a"))
	f("plain http", "address", windows("http://wns2.notify.windows.com/?token=a"))
	f("another host", "address", windows("https://notify.windows.com.evil.example/?token=a"))
	f("a look-alike", "address", windows("https://evilnotify.windows.com/?token=a"))
	f("user info", "address", windows("https://notify.windows.com@evil.example/?token=a"))
	f("another port", "address", windows("https://wns2.notify.windows.com:8443/?token=a"))
}

func TestRegister(t *testing.T) {
	first := carillon.Endpoint{ID: "p", Platform: carillon.IOS, Address: "aa", Expires: 5000, Registered: 100}
	a := carillon.Register(nil, first, 10, 100)
	if a.Incarnation != 10 || a.Addressed != 10 || a.Version != 10 {
		t.Fatalf("a new one: %+v", a)
	}
	renewed := first
	renewed.Expires, renewed.Registered = 9000, 200
	b := carillon.Register(&a, renewed, 20, 200)
	if b.Incarnation != 10 || b.Addressed != 10 || b.Version != 20 || b.Registered != 100 || b.Expires != 9000 {
		t.Fatalf("renewed: %+v", b)
	}
	rotated := renewed
	rotated.Address, rotated.Registered = "bb", 300
	c := carillon.Register(&b, rotated, 30, 300)
	if c.Incarnation != 10 || c.Addressed != 30 || c.Registered != 300 {
		t.Fatalf("rotated: %+v", c)
	}
	if d := carillon.Register(&c, rotated, 40, 9000); d.Incarnation != 40 {
		t.Fatalf("back after its life ended: %+v", d)
	}
}

func TestEvictee(t *testing.T) {
	var eps []carillon.Endpoint
	for i := range carillon.MaxEndpoints {
		if got := carillon.Evictee(eps, carillon.IOS); got != -1 {
			t.Fatalf("with %d there is no room: %d", i, got)
		}
		eps = append(eps, carillon.Endpoint{Platform: carillon.IOS, Version: carillon.Seq(100 - i)})
	}
	if got := carillon.Evictee(eps, carillon.IOS); got != carillon.MaxEndpoints-1 {
		t.Errorf("the one renewed longest ago is %d, got %d", carillon.MaxEndpoints-1, got)
	}
	if got := carillon.Evictee(eps, carillon.Android); got != -1 {
		t.Errorf("another platform has room, got %d", got)
	}
}

// TestPushType: the suffix of a push type counts after a bundle id of the app's
// only.
func TestPushType(t *testing.T) {
	for appID, want := range map[string]string{
		"com.example.app": "", "com.example.app.voip": "voip", "com.example.app.voip-ptt": "pushtotalk",
		"com.example.app.push-type.liveactivity": "liveactivity", "com.example.app.push-type.widgets": "widgets",
		"com.example.app.push-type.controls": "controls", "com.example.app.complication": "complication",
		"com.example.app.location-query": "location", "com.example.app.pushkit.fileprovider": "fileprovider",
		"com.acme.voip": "", "com.other.voip": "", ".voip": "", "": "", "com.acme.voip.voip": "voip",
	} {
		if got := carillon.PushType(appID, []string{"com.example.app", "com.acme.voip", "com.acme"}); got != want {
			t.Errorf("%s: %q, want %q", appID, got, want)
		}
	}
	if got := carillon.PushType("com.example.app.voip", nil); got != "" {
		t.Errorf("an app without identities: %q", got)
	}
	if n := len(carillon.PushTypes()); n != 8 {
		t.Errorf("%d push types", n)
	}
}
