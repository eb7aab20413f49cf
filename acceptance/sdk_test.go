//go:build acceptance

package acceptance_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	sdk "carillon/client"
)

// TestGoSDK: the Go SDK against the running binary (devices of the sandbox).
func TestGoSDK(t *testing.T) {
	s := serve(t, filepath.Join(workDir(t), "sdk"))
	defer s.stop(t)
	t.Run("Device", func(t *testing.T) { sdkDevice(t, s) })
	t.Run("Bulk", func(t *testing.T) { sdkBulk(t, s) })
	t.Run("Broadcast", func(t *testing.T) { sdkBroadcast(t, s) })
}

// sdk makes the SDK's client of that root, which carries that token.
func (s *site) sdk(t *testing.T, root, token string) *sdk.Client {
	t.Helper()
	c, err := sdk.New(root, sdk.Options{
		Token: func(context.Context) (string, error) { return token, nil }, HTTP: s.http, BulkLines: 250, Backoff: 20 * time.Millisecond, Attempts: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sdkDevice: three devices subscribe; what one dismisses leaves the others, by
// the clear that they got; a reader goes on from where it was saved.
func sdkDevice(t *testing.T, s *site) {
	p := s.person(t, "gopher")
	c := s.sdk(t, s.url, p.token)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	on := map[string]*sdk.Device{}
	rung := map[string]*device{}
	for _, platform := range []string{"windows", "ios", "android"} {
		d := c.Device(sdk.DeviceOptions{Host: host, Installation: "my-" + platform})
		app := bundle
		if platform == "windows" {
			app = aumid
		}
		r := &device{s: s, installation: "my-" + platform, address: address(platform, p.id+t.Name())}
		sub, err := d.Subscribe(ctx, sdk.Registration{Platform: platform, Address: r.address, AppID: app})
		if err != nil || sub.ID == "" || time.Until(sub.Expires) < 24*time.Hour {
			t.Fatalf("%s: %+v, %v", platform, sub, err)
		}
		on[platform], rung[platform] = d, r
	}
	sender := s.sdk(t, s.url, s.app).Sender()
	n := &sdk.Notification{TargetHostName: host, Payload: sdk.Payload{VisualContent: &sdk.Visual{Title: "Tea", Body: "is ready"}}}
	first, err := sender.Send(ctx, sdk.To{UserID: p.id}, n, "tea")
	if err != nil {
		t.Fatal(err)
	}
	again, err := sender.Send(ctx, sdk.To{UserID: p.id}, n, "tea")
	if err != nil || again.ID != first.ID {
		t.Errorf("the same key once more: %v, %v", again, err)
	}
	second, err := sender.Send(ctx, sdk.To{UserID: p.id}, n, "")
	if err != nil {
		t.Fatal(err)
	}
	// Its own sends are planned when it asks for them.
	if d, err := sender.Deliveries(ctx, host, p.id, second.ID); err != nil || len(d.Deliveries) != 3 {
		t.Errorf("deliveries at once: %+v, %v", d, err)
	}
	for _, r := range rung {
		r.rung(t, 2)
	}
	ios, android := on["ios"], on["android"]
	if ours, got, err := ios.ProcessPush(ctx, rung["ios"].inbox(t)[0].Body); !ours || err != nil || len(got) != 1 || got[0].Decide() != sdk.Show {
		t.Errorf("the alert: %v, %+v, %v", ours, got, err)
	}
	until(t, ringLimit, "both are in the history", func() bool { // a push may overtake its row
		n := 0
		for _, err := range android.All(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n == 2
	})
	r := android.Reader(sdk.ReaderOptions{})
	one := batch(t, r, 1)
	if r, err = android.ReaderWithState(r.State()); err != nil {
		t.Fatal(err)
	}
	if two := batch(t, r, 10); len(one) != 1 || len(two) != 1 || one[0].ID != first.ID || two[0].ID != second.ID {
		t.Fatalf("read %+v, then %+v", one, two)
	}
	if err := android.Ack(ctx, r.Position(), first.ID); err != nil {
		t.Error(err)
	}

	live := make(chan sdk.Event, 100)
	from := r.Position()
	liveCtx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e, err := range on["windows"].Live(liveCtx, from) {
			if err == nil {
				live <- e
			}
		}
	}()
	defer func() { stop(); <-ended }()

	if err := android.SetAction(ctx, first.ID, sdk.Dismissed); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-live:
		if e.Change.ID != first.ID || e.Change.Decide() != sdk.Remove {
			t.Errorf("live: %+v", e)
		}
	case <-ctx.Done():
		t.Error("no live event")
	}
	until(t, ringLimit, "the clear is at the iOS device", func() bool { return rung["ios"].clears(t) == 1 })
	inbox := rung["ios"].inbox(t)
	ours, got, err := ios.ProcessPush(ctx, inbox[len(inbox)-1].Body)
	left := map[string]sdk.Decision{}
	for i := range got {
		left[got[i].ID] = got[i].Decide()
	}
	if !ours || err != nil || left[first.ID] != sdk.Remove || left[second.ID] != sdk.Show {
		t.Errorf("the clear: %v, %+v, %v", ours, got, err)
	}
	if got, err := ios.Sync(ctx); err != nil || len(got) != 0 {
		t.Errorf("nothing is new: %+v, %v", got, err)
	}
	if got := batch(t, android.Reader(sdk.ReaderOptions{UserAction: sdk.Dismissed}), 10); len(got) != 1 || got[0].ID != first.ID {
		t.Errorf("the filter for dismissed: %+v", got)
	}
	if err := ios.SetRead(ctx, second.ID, true); err != nil {
		t.Error(err)
	}
	if it, err := android.Get(ctx, second.ID); err != nil || !it.ReadState || sdk.Decide(it) != sdk.Remove {
		t.Errorf("read elsewhere: %+v, %v", it, err)
	}
	if err := sender.Recall(ctx, host, p.id, second.ID); err != nil {
		t.Error(err)
	}
	if got := batch(t, r, 10); len(got) == 0 || got[len(got)-1].Kind != sdk.Removed {
		t.Errorf("after the recall: %+v", got)
	}
	if d, err := sender.Deliveries(ctx, host, p.id, first.ID); err != nil || len(d.Deliveries) != 3 {
		t.Errorf("deliveries: %+v, %v", d, err)
	}
	if err := on["windows"].Unsubscribe(ctx); err != nil {
		t.Error(err)
	}
}

func batch(t *testing.T, r *sdk.Reader, most int) []sdk.Change {
	t.Helper()
	got, err := r.ReadBatch(t.Context(), most)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sdkBroadcast: one content to many users, through a proxy that cuts the first
// request: it is repeated under its key and rings nobody twice.
func sdkBroadcast(t *testing.T, s *site) {
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: s.http.Transport}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 { // the service took it; nobody hears so
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := s.person(t, "listener")
	windows, ios, android := p.three(t, "")
	const users = 2000
	everybody := func(yield func(string) bool) error {
		for i := range users - 1 {
			if !yield(fmt.Sprint("dev.cast-", i)) {
				return nil
			}
		}
		yield(p.id)
		return nil
	}
	sender := s.sdk(t, proxy.URL, s.app).Sender()
	all := &sdk.NewBroadcast{Key: "to all", Notification: sdk.Notification{TargetHostName: host, Payload: sdk.Payload{VisualContent: &sdk.Visual{Title: "To all"}}}}
	b, err := sender.Broadcast(ctx, all, everybody)
	if err != nil || !b.Whole || b.TargetHostName != host || calls.Load() != 2 {
		t.Fatalf("%+v, %v after %d calls", b, err, calls.Load())
	}
	stands(t, sender, "all of it is over", b.ID, func(b *sdk.Broadcast) bool {
		return b.State == "finished" && b.Notifications == users && b.Planned == 3 && b.Waiting == 0 && b.Outcomes["accepted"] == 3
	})
	for _, d := range []*device{windows, ios, android} {
		if got := len(d.inbox(t)); got != 1 {
			t.Errorf("%s rang %d times", d.installation, got)
		}
	}
	if now, err := sender.CancelBroadcast(ctx, b.ID); err != nil || now.State != "cancelled" {
		t.Errorf("cancelled: %+v, %v", now, err)
	}
	if _, err := sender.Broadcast(ctx, all, everybody); err == nil {
		t.Error("what is cancelled can be posted again")
	}
	held := sdkSteers(t, sender, all, p)
	var listed []string
	for b, err := range sender.Broadcasts(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, b.ID)
	}
	if want := []string{held, b.ID}; !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
	until(t, ringLimit, "the phone shows the first only", func() bool { return len(ios.tray(t)) == 1 })
}

// stands waits until a broadcast stands so.
func stands(t *testing.T, sender *sdk.Sender, what, id string, holds func(*sdk.Broadcast) bool) {
	t.Helper()
	until(t, ringLimit, what, func() bool {
		now, err := sender.GetBroadcast(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return holds(now)
	})
}

// sdkSteers pauses a broadcast before it has a user, paces it, lets it go on to his
// three devices and takes it back from them; its id.
func sdkSteers(t *testing.T, sender *sdk.Sender, all *sdk.NewBroadcast, p *person) string {
	ctx := t.Context()
	all.Key = "held back"
	held, err := sender.Broadcast(ctx, all, sdk.UserIDs())
	if err != nil {
		t.Fatal(err)
	}
	if now, err := sender.PauseBroadcast(ctx, held.ID); err != nil || now.State != "paused" {
		t.Errorf("paused: %+v, %v", now, err)
	}
	if _, err := sender.Broadcast(ctx, all, sdk.UserIDs(p.id)); err != nil {
		t.Fatal(err)
	}
	stands(t, sender, "it waits", held.ID, func(b *sdk.Broadcast) bool { return b.Waiting == 3 && b.BoundBy == "paused" })
	if now, err := sender.PaceBroadcast(ctx, held.ID, 1000); err != nil || now.MaxPerSecond != 1000 {
		t.Errorf("paced: %+v, %v", now, err)
	}
	if now, err := sender.PaceBroadcast(ctx, held.ID, 0); err != nil || now.MaxPerSecond != 0 {
		t.Errorf("not paced any more: %+v, %v", now, err)
	}
	if now, err := sender.ResumeBroadcast(ctx, held.ID); err != nil || now.State == "paused" {
		t.Errorf("resumed: %+v, %v", now, err)
	}
	stands(t, sender, "it has rung", held.ID, func(b *sdk.Broadcast) bool { return b.Outcomes["accepted"] == 3 })
	if now, err := sender.RecallBroadcast(ctx, held.ID); err != nil || now.Recall == nil || now.Recall.Asked.IsZero() {
		t.Errorf("recalled: %+v, %v", now, err)
	}
	stands(t, sender, "it is taken back", held.ID, func(b *sdk.Broadcast) bool { return b.Recall.State == "finished" && b.Recall.Notifications == 1 })
	return held.ID
}

// sdkBulk: 5,000 lines through a proxy that refuses and cuts: none is lost, none
// comes twice, each user's in order.
func sdkBulk(t *testing.T, s *site) {
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var calls, refused, cut atomic.Int64
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: s.http.Transport}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) % 5 {
		case 2:
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4: // the service took it; nobody hears so
			cut.Add(1)
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	defer proxy.Close()
	const lines, users = 5000, 5
	people := make([]*person, users)
	for i := range people {
		people[i] = s.person(t, fmt.Sprint("bulk", i))
	}
	n := 0
	for r := range s.sdk(t, proxy.URL, s.app).Sender().Bulk(t.Context(), func(yield func(sdk.Line) bool) {
		for i := range lines {
			l := sdk.Line{To: sdk.To{UserID: people[i%users].id}, Notification: sdk.Notification{TargetHostName: host, Payload: sdk.Payload{RawContent: fmt.Sprint(i)}}}
			if !yield(l) {
				return
			}
		}
	}) {
		if r.Err != nil || r.ID == "" || r.Line != n {
			t.Fatalf("line %d: %+v", n, r)
		}
		n++
	}
	if n != lines || refused.Load() == 0 || cut.Load() == 0 {
		t.Fatalf("%d results over %d refusals and %d cuts", n, refused.Load(), cut.Load())
	}
	for at, p := range people {
		r := s.sdk(t, s.url, p.token).Device(sdk.DeviceOptions{Host: host, Installation: "x"}).Reader(sdk.ReaderOptions{})
		var got bytes.Buffer
		read := 0
		until(t, ringLimit, "the history of "+p.id+" is whole", func() bool {
			for _, c := range batch(t, r, 1000) {
				fmt.Fprintln(&got, c.Item.Payload.RawContent)
				read++
			}
			return read >= lines/users
		})
		var want bytes.Buffer
		for i := at; i < lines; i += users {
			fmt.Fprintln(&want, i)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s has %d notifications, not the %d that were sent, in order", p.id, read, lines/users)
		}
	}
}
