package provider_test

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/provider"
	"carillon/provider/apns"
	"carillon/provider/fcm"
	"carillon/provider/sandbox"
	"carillon/provider/wns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "app.localhost"

// way is one way to push: a vendor, and how it is spoken to.
type way struct {
	name     string
	platform carillon.Platform
	vendor   sandbox.Vendor
	http1    bool
	entra    bool
}

func ways() []way {
	return []way{
		{name: "apns", platform: carillon.IOS, vendor: sandbox.APNs},
		{name: "fcm", platform: carillon.Android, vendor: sandbox.FCM},
		{name: "wns", platform: carillon.Windows, vendor: sandbox.WNS},
		{name: "wns-http1", platform: carillon.Windows, vendor: sandbox.WNS, http1: true},
		{name: "wns-entra", platform: carillon.Windows, vendor: sandbox.WNS, entra: true},
	}
}

// eachWay runs a test against each vendor.
func eachWay(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	waysBut(t, func(way) bool { return false }, f)
}

// waysBut is eachWay without those that have no such thing.
func waysBut(t *testing.T, lacks func(way) bool, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, w := range ways() {
		if lacks(w) {
			continue
		}
		t.Run(w.name, func(t *testing.T) { f(t, newRig(t, w, nil)) })
	}
}

// rig is a vendor's strict sandbox and a sender to it.
type rig struct {
	way
	server *sandbox.Server
	clock  *carillon.Clock
	cfg    provider.Config
	app    carillon.App
	sender carillon.Sender
	*inbox
}

// newRig starts both; change may edit configuration and credential before.
func newRig(t *testing.T, w way, change func(r *rig)) *rig {
	t.Helper()
	r := &rig{way: w, clock: &carillon.Clock{}, inbox: newInbox()}
	log := r.serve(t, sandbox.Strict)
	if change != nil {
		change(r)
	}
	apps, err := carillon.NewApps([]carillon.App{r.app})
	if err != nil {
		t.Fatal(err)
	}
	v := provider.New(r.cfg, func() *carillon.Apps { return apps }, r.clock, log)
	if r.sender, err = v.Open(carillon.Lane{Platform: w.platform, Host: host}, r.inbox); err != nil {
		t.Fatal(err)
	}
	run(t, r.server.Run)
	run(t, r.sender.Run)
	return r
}

// serve makes the sandbox, and configuration and credentials for it.
func (r *rig) serve(t testing.TB, mode sandbox.Mode) *slog.Logger {
	t.Helper()
	log := discard()
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	var err error
	r.server, err = sandbox.New(sandbox.Config{Dir: t.TempDir(), WNSHTTP1Only: r.http1, Mode: mode, Now: r.clock.Now, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	addrs, creds := r.server.Addrs(), r.server.Credentials()
	r.cfg = provider.Config{
		APNs: apns.Config{BaseURL: "https://" + addrs.APNs, CAFile: r.server.CAFile()},
		FCM:  fcm.Config{BaseURL: "https://" + addrs.FCM, CAFile: r.server.CAFile()},
		WNS:  wns.Config{DialAddress: addrs.WNS, TokenURL: "https://" + addrs.Token + "/accesstoken.srf", CAFile: r.server.CAFile()},
	}
	windows := carillon.Credential{Platform: carillon.Windows, PackageSID: creds.WNS.PackageSID, Secret: creds.WNS.Secret}
	if r.entra {
		windows = carillon.Credential{Platform: carillon.Windows, TenantID: creds.Entra.TenantID, ClientID: creds.Entra.AppID, Secret: creds.Entra.Secret}
		r.cfg.WNS.TokenURL = "https://" + addrs.Token + "/" + creds.Entra.TenantID + "/oauth2/v2.0/token"
	}
	r.app = carillon.App{Host: host, Credentials: []carillon.Credential{
		{Platform: carillon.IOS, File: creds.APNs.KeyFile, KeyID: creds.APNs.KeyID, TeamID: creds.APNs.TeamID},
		{Platform: carillon.Android, File: creds.FCM.File},
		windows,
	}}
	return log
}

// run runs f until the test ends, the last one first.
func run(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// address is a device address of the rig's vendor.
func (r *rig) address(seed string) string { return sandbox.NewAddress(r.vendor, seed) }

// push makes a push to a device; edit may change it.
func (r *rig) push(seed string, kind carillon.Kind, edit func(n *carillon.Notification)) carillon.Push {
	n := &carillon.Notification{
		Expires: r.clock.Now().Add(time.Hour).UnixMilli(), TTL: -1, Badge: -1,
		HasVisual: true, Title: `Tea "for" two`, Body: "<now> & ever ☕",
	}
	if kind == carillon.KindData {
		n.HasVisual, n.Title, n.Body = false, "", ""
		n.HasRaw, n.Raw = true, `{"raw":"\u0000 yes"}`
	}
	if edit != nil {
		edit(n)
	}
	e := &carillon.Endpoint{ID: "phone-" + seed, Platform: r.platform, Address: r.address(seed), AppID: "com.example.app"}
	return carillon.Push{
		Ref: seed, Kind: kind, Attempt: 1, User: carillon.User{Host: host, ID: "dev.alice"}, Endpoint: e, Notification: n,
		ID: carillon.ID{1, 2, 3, 4, 5, 6, 0x80, 8, 0x80, 10}, Created: carillon.MakeSeq(1, 41), Seq: carillon.MakeSeq(1, 42),
	}
}

// ready waits for room.
func (r *rig) ready(t *testing.T) {
	t.Helper()
	r.wait(t, "room", func() bool { return r.sender.Room() > 0 })
}

// answer sends one push and waits for its answer.
func (r *rig) answer(t *testing.T, p carillon.Push) carillon.Answer {
	t.Helper()
	r.ready(t)
	before := r.count()
	r.sender.Send([]carillon.Push{p})
	r.wait(t, "an answer", func() bool { return r.count() > before })
	return r.last()
}

// sent is answer, but sends anew what was not sent: a connection that is being
// renewed still shows its room.
func (r *rig) sent(t *testing.T, p carillon.Push) carillon.Answer {
	t.Helper()
	for {
		if a := r.answer(t, p); !a.Outcome.Unsent {
			return a
		}
	}
}

// inbox is a Receiver that keeps everything.
type inbox struct {
	mu      sync.Mutex
	changed chan struct{}
	answers []carillon.Answer
	rooms   int
	busy    bool
	overlap bool
	onBatch func(batch []carillon.Answer)
}

func newInbox() *inbox { return &inbox{changed: make(chan struct{})} }

func (b *inbox) Answers(batch []carillon.Answer) {
	b.mu.Lock()
	b.overlap = b.overlap || b.busy
	b.busy = true
	on := b.onBatch
	b.mu.Unlock()
	if on != nil {
		on(batch)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	b.answers = append(b.answers, batch...)
	b.change()
}

func (b *inbox) RoomAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rooms++
	b.change()
}

func (b *inbox) change() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.answers)
}

func (b *inbox) last() carillon.Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answers[len(b.answers)-1]
}

func (b *inbox) all() []carillon.Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]carillon.Answer(nil), b.answers...)
}

// wait waits for a condition that answers, room or time bring about.
func (b *inbox) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (b *inbox) roomCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rooms
}
