package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/provider/sandbox"
)

// runSandbox runs `carillon sandbox` in this process and gives its ops address.
func runSandbox(t *testing.T, args ...string) (ops string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &line{want: "\n}\n", seen: make(chan struct{})}
	var fault strings.Builder
	e := &env{stdout: out, stderr: &fault}
	done := make(chan int, 1)
	go func() {
		done <- e.run(ctx, append([]string{"sandbox", "--dir", t.TempDir(), "--ops", "127.0.0.1:0", "--json"}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("exit code %d: %s", code, fault.String())
		}
	})
	select {
	case <-out.seen:
	case code := <-done:
		done <- code
		t.Fatal(fault.String())
	}
	var told struct {
		Ops  string
		Seed uint64
	}
	if err := json.Unmarshal([]byte(out.String()), &told); err != nil || told.Seed == 0 {
		t.Fatalf("%v %s", err, out.String())
	}
	return told.Ops
}

func TestSandboxIsScripted(t *testing.T) {
	phone, gone := sandbox.NewAddress(sandbox.APNs, "phone"), sandbox.NewAddress(sandbox.WNS, "old")
	script := filepath.Join(t.TempDir(), "script.json")
	text := `{"seed":7,"conduct":{"fcm":{"latency":"published","quotaPerMinute":5}},"offline":["` + phone + `"],"gone":["` + gone + `"],
		"faults":[{"vendor":"fcm","status":503,"for":"1m"}],"acts":[{"kind":"reset","every":"1h"}]}`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ops := runSandbox(t, "--script", script)
	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, fault := call(t, append([]string{"sandbox"}, append(args, "--ops", ops)...)...)
		if got != code || !strings.Contains(out+fault, want) {
			t.Errorf("%v: exit code %d, no %q in %s%s", args, got, want, out, fault)
		}
	}
	f(exitOK, `{"vendor":"fcm","status":503,"for":"1m0s"}`, "fault", "--list")
	f(exitOK, `"kind":"reset"`, "act", "--list")
	f(exitOK, "fcm.quotaPerMinute=5", "conduct")
	f(exitOK, `fcm.latency={"median":"90ms"`, "conduct")
	f(exitOK, phone+"  offline", "device")
	f(exitOK, gone+"  gone", "device")
	f(exitOK, `"offline": true`, "device", phone, "--json")
	f(exitFailed, "within 0s it got 0 pushes", "device", phone, "--online", "--wait", "1", "--timeout", "0s")
	f(exitOK, phone+"  gone", "device", phone, "--gone")
	f(exitOK, "0 received", "device", gone, "--alive")
	f(exitOK, `"share":0.05`, "fault", "--share", "0.05", "--status", "410")
	f(exitOK, "none in force", "fault", "--clear")
	f(exitOK, "none in force", "act", "--clear")
	f(exitOK, "apns.streams=7", "conduct", "apns.streams=7", "apns.latency=off")
	f(exitOK, "none in force", "act", "silence", "--for", "1s")
	f(exitUsage, "say what shall go wrong", "fault")
	f(exitUsage, "say which one thing", "act")
	f(exitUsage, "not both", "fault", "--list", "--clear")
	f(exitUsage, "VENDOR.NAME=VALUE", "conduct", "streams")
	f(exitUsage, "opposite", "device", phone, "--online", "--offline")
	f(exitFailed, "share is a share of the devices", "fault", "--share", "2")
	f(exitFailed, `kind "dance"`, "act", "dance")
	f(exitFailed, "unknown field", "conduct", "apns.colour=red")
	f(exitFailed, "no vendor", "conduct", "pigeon.streams=1")

	client, ctx := newOpsClient(ops), t.Context()
	var k sandbox.APNsKey
	if err := client.call(ctx, http.MethodPost, "/sandbox/keys", nil, map[string]string{"environment": "sandbox"}, &k); err != nil || len(k.KeyID) != 10 {
		t.Errorf("%v %+v", err, k)
	}
	if b, err := os.ReadFile(k.KeyFile); err != nil || !strings.Contains(string(b), "PRIVATE KEY") {
		t.Error(err)
	}
	if err := client.call(ctx, http.MethodDelete, "/sandbox/keys", url.Values{"keyId": {k.KeyID}}, nil, &k); err != nil {
		t.Error(err)
	}
	if err := client.call(ctx, http.MethodPatch, devicePath(phone), nil, map[string]int{"x": 1}, &k); err == nil {
		t.Error("an unknown name is taken")
	}

	for _, bad := range []string{`{"seeds":1}`, `{"conduct":{"apns":{"streams":0}}}`, `{"faults":[{"status":1}]}`} {
		if err := os.WriteFile(script, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, fault := call(t, "sandbox", "--dir", t.TempDir(), "--script", script); code != exitFailed || !strings.Contains(fault, script) {
			t.Errorf("%s: %d %s", bad, code, fault)
		}
	}
}

func TestSandboxAddress(t *testing.T) {
	f := func(code int, want string, args ...string) {
		t.Helper()
		if got, out, fault := call(t, append([]string{"sandbox", "address"}, args...)...); got != code || !strings.Contains(out+fault, want) {
			t.Errorf("%v: exit code %d, no %q in %s%s", args, got, want, out, fault)
		}
	}
	f(exitOK, sandbox.NewAddress(sandbox.APNs, "x")+"\n", "--vendor", "apns", "--seed", "x")
	f(exitOK, sandbox.FaultyAddress(sandbox.WNS, "x", 410), "--vendor", "wns", "--seed", "x", "--status", "410")
	f(exitUsage, "--vendor is", "--vendor", "pigeon")
	f(exitUsage, "--status is", "--vendor", "fcm", "--status", "1000")
}
