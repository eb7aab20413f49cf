//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	outageUsers = 300
	outageEvery = 25 * time.Millisecond // a bulk request
	outageLines = 10
	outageLimit = 3 * time.Minute // to drain
	outageKeep  = 95              // of 100 pushes that a sandbox device remembers
)

// TestOutage takes one of three vendors out while notifications for devices of
// all three go on: silent first, then refusing. Its deliveries park, the others
// ring on, and afterwards everything rings, in order at each device; the audit
// closes.
//
// CARILLON_OUTAGE (6s) is how long it is out, CARILLON_OUTAGE_ROUNDS (1) how
// often; each round is a calm time of the same length and then the outage. What
// the others' latency was (from the request until the vendor has it) is printed,
// with the ratio; nothing is asserted of it, machines differ. By hand:
//
//	CARILLON_OUTAGE=60s make acceptance RUN=TestOutage
func TestOutage(t *testing.T) {
	out, rounds := duration(t, "CARILLON_OUTAGE", 6*time.Second), number(t, "CARILLON_OUTAGE_ROUNDS", 1)
	dir := workDir(t)
	box := startSandbox(t, dir)
	config := box.config(t, dir)
	// Users enough that a device remembers all that it got.
	sends := int(2*out*time.Duration(rounds)/outageEvery) * outageLines
	users := max(outageUsers, sends/outageKeep*2)
	extend(t, config, "dispatch: {credits: 512}\n")
	// Waits in proportion: Apple asks for 15 minutes after a 503, and what got one
	// as the lane's first push at half-time would wait longer than this test.
	waits := "serverErrorWait: 5s, "
	if out < time.Minute {
		waits = "serverErrorWait: 500ms, requestTimeout: 1500ms, "
	}
	replace(t, config, "apns: {", "apns: {"+waits)
	g := serve(t, filepath.Join(dir, "data"), "--config", config)
	o := &outage{t: t, box: box, users: users}
	o.flood = &flood{t: t, http: client(t), token: g.app}
	o.url.Store(&g.url)
	o.register()

	var calm, hurt []time.Duration
	for round := range rounds {
		calm = append(calm, o.window(out, nil)...)
		parked := int64(0)
		hurt = append(hurt, o.window(out, func(half int) {
			fault := `{"vendor":"apns","hold":true}`
			if half == 1 {
				box.clear(t)
				fault = `{"vendor":"apns","status":503,"reason":"ServiceUnavailable"}`
			}
			box.script(t, fault)
		}, func() { parked = g.audit(t).Parked })...)
		box.clear(t)
		t.Logf("round %d: %d deliveries are parked at the end of an outage of %v", round+1, parked, out)
		if parked == 0 {
			t.Error("nothing is parked")
		}
	}
	for i, q := range []float64{0.5, 0.99} {
		before, during := quantile(calm, q), quantile(hurt, q)
		t.Logf("p%d of the other vendors: %v calm, %v in the outage, ratio %.2f", []int{50, 99}[i], before, during, float64(during)/float64(before))
	}
	begin := time.Now()
	closes(t, g, int64(3*len(o.sent)))
	t.Logf("all %d deliveries are accepted %v after the outage", 3*len(o.sent), time.Since(begin).Round(100*time.Millisecond))
	o.ordered()
	if told := g.told(t, g.app); len(told) != 1 || told["accepted"] != int64(3*len(o.sent)) {
		t.Errorf("the stream of outcomes tells of %v", told)
	}
	g.stop(t)
	carillon(t, "audit", "--data", g.data)
}

// outage sends at an even pace and knows when.
type outage struct {
	*flood

	t     *testing.T
	box   *vendors
	users int

	mu   sync.Mutex
	sent map[string]time.Time // by notification id
	next int
}

var outagePlatforms = []string{"windows", "android", "ios"}

func outageUser(i int) string { return fmt.Sprintf("dev.outage-%d", i) }

func (o *outage) register() {
	o.sent = map[string]time.Time{}
	o.each(3*o.users, func(i int) {
		user, platform := outageUser(i/3), outagePlatforms[i%3]
		body, _ := json.Marshal(map[string]string{"host": host, "platform": platform, "address": address(platform, user)})
		if status, answer := o.ask("PUT", "/api/v1/users/"+user+"/endpoints/"+platform, body); status != 200 {
			o.t.Errorf("registering: %d %s", status, answer)
			o.giveUp.Store(true)
		}
	})
	if o.t.Failed() {
		o.t.FailNow()
	}
}

// window sends for that long; at its beginning and in its middle it does begin,
// at its end all of end. It gives the latencies of what Windows and Android
// devices got of it.
func (o *outage) window(length time.Duration, begin func(half int), end ...func()) []time.Duration {
	o.t.Helper()
	first := o.next
	tick := time.NewTicker(outageEvery)
	defer tick.Stop()
	steps := int(length / outageEvery)
	var requests sync.WaitGroup
	for step := range steps {
		if begin != nil && step%(steps/2) == 0 && step/(steps/2) < 2 {
			begin(step / (steps / 2))
		}
		<-tick.C
		from := o.next
		o.next += outageLines
		requests.Go(func() { o.post(from) })
	}
	requests.Wait()
	for _, f := range end {
		f()
	}
	if o.t.Failed() {
		o.t.FailNow()
	}
	return o.latencies(first)
}

// post sends a bulk request, whose lines are for users in turn.
func (o *outage) post(from int) {
	var body bytes.Buffer
	for i := from; i < from+outageLines; i++ {
		fmt.Fprintf(&body, `{"targetHostName":%q,"userId":%q,"payload":{"visualContent":{"title":"%d"}}}`+"\n", host, outageUser(i%o.users), i)
	}
	at := time.Now()
	status, answer := o.ask("POST", "/api/v1/notifications", body.Bytes(), "Content-Type", "application/x-ndjson")
	if status != 200 {
		o.t.Errorf("sending: %d %s", status, answer)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range bytes.Lines(answer) {
		var l struct{ ID string }
		if err := json.Unmarshal(line, &l); err != nil || bytes.Contains(line, []byte(`"error"`)) {
			o.t.Errorf("sending: %s", line)
		} else if l.ID != "" {
			o.sent[l.ID] = at
		}
	}
}

// arrival is a push as the sandbox saw it.
type arrival struct {
	At             time.Time
	NotificationID string
	Seq            string
	Status         int
}

func (o *outage) inbox(user int, platform string) (got []arrival) {
	o.box.ask(o.t, "/sandbox/devices/"+url.PathEscape(address(platform, outageUser(user)))+"/inbox", &got)
	return got
}

// latencies waits until the Windows and Android devices of the users from number
// first on have what was sent to them, and tells how long each took.
func (o *outage) latencies(first int) (all []time.Duration) {
	o.t.Helper()
	for i := range min(o.users, o.next-first) {
		user := (first + i) % o.users
		want := 0
		for n := first + i; n < o.next; n += o.users {
			want++
		}
		for _, platform := range outagePlatforms[:2] {
			var got []arrival
			until(o.t, outageLimit, fmt.Sprintf("%s has its %d pushes", outageUser(user), want), func() bool {
				got = o.inbox(user, platform)
				return len(got) >= want && o.has(got[len(got)-1])
			})
			for _, a := range got[len(got)-want:] {
				all = append(all, a.At.Sub(o.sent[a.NotificationID]))
			}
		}
	}
	return all
}

func (o *outage) has(a arrival) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.sent[a.NotificationID]
	return ok
}

// ordered: whatever arrived at a device for the first time, accepted or not, is
// newer than what arrived before.
func (o *outage) ordered() {
	o.t.Helper()
	wrong, pushes := 0, 0
	for user := range o.users {
		for _, platform := range outagePlatforms {
			last, seen := "", map[string]bool{}
			for _, a := range o.inbox(user, platform) {
				pushes++
				if seen[a.NotificationID] {
					continue
				}
				seen[a.NotificationID] = true
				if seq := fmt.Sprintf("%40s", a.Seq); seq <= last {
					if wrong++; wrong < 4 {
						o.t.Errorf("%s, %s: %s came after %s", outageUser(user), platform, a.Seq, strings.TrimSpace(last))
					}
				} else {
					last = seq
				}
			}
		}
	}
	if wrong > 0 {
		o.t.Errorf("%d pushes of %d came out of order", wrong, pushes)
	}
}

func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[int(q*float64(len(ds)-1))].Round(10 * time.Microsecond)
}

// duration is a length of time that the environment can change.
func duration(t *testing.T, name string, usual time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q is no duration: 60s", name, text)
	}
	return d
}

// replace changes a configuration file.
func replace(t *testing.T, file, old, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s holds no %q (%v)", file, old, err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte(old), []byte(text), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// script tells the vendors what to do wrong, clear to stop that.
func (v *vendors) script(t *testing.T, fault string) {
	t.Helper()
	fetch(t, v.http, v.told.Ops+"/sandbox/faults", "", "POST", json.RawMessage(fault)).want(t, 200)
}

func (v *vendors) clear(t *testing.T) {
	t.Helper()
	fetch(t, v.http, v.told.Ops+"/sandbox/faults", "", "DELETE", nil).want(t, 200)
}

// TestBadCredentialHeals onboards a key that Apple does not know: the breaker
// opens and deliveries park. The key's file is replaced, and they ring, without
// a restart.
func TestBadCredentialHeals(t *testing.T) {
	dir := workDir(t)
	data := filepath.Join(dir, "data")
	made := startSandboxIn(t, dir, filepath.Join(data, "sandbox")) // the sandbox within the gateway has these keys then
	good, err := os.ReadFile(made.told.Credentials.APNs.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	made.stop(t)
	key := filepath.Join(dir, "key.p8")
	other := startSandboxIn(t, dir, filepath.Join(dir, "other"))
	bad, err := os.ReadFile(other.told.Credentials.APNs.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	other.stop(t)
	if err := os.WriteFile(key, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "carillon.yaml")
	c := made.told.Credentials.APNs
	if err := os.WriteFile(config, fmt.Appendf(nil, `apps:
  - host: %s
    clients: [demo-client]
    identities:
      - {platform: ios, appId: %s}
      - {platform: android, appId: %[2]s}
    credentials:
      - {platform: ios, file: %q, keyId: %s, teamId: %s, sandbox: true}
`, host, bundle, key, c.KeyID, c.TeamID), 0o600); err != nil {
		t.Fatal(err)
	}
	g := serve(t, data, "--config", config)
	var phones, robots []*device
	var people []*person
	for i := range 6 {
		p := g.person(t, fmt.Sprintf("key-%d", i))
		people = append(people, p)
		phones, robots = append(phones, p.register(t, "ios", "")), append(robots, p.register(t, "android", ""))
	}
	ids := map[*device][]string{}
	for round := range 3 {
		for i, p := range people {
			id := p.send(t, visual(fmt.Sprint("number ", round), ""))
			ids[phones[i]] = append(ids[phones[i]], id)
			robots[i].rung(t, round+1) // the other vendor's ring meanwhile
		}
	}
	until(t, ringLimit, "deliveries park", func() bool { return g.audit(t).Parked > 0 })
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	g.move(t, "+45s")
	until(t, ringLimit, "everything has rung", func() bool {
		a := g.audit(t)
		if a.Due > 0 {
			g.move(t, "+30s") // retries of what the bad key was tried with
		}
		return a.Deliveries["accepted"] == 36
	})
	for _, d := range phones {
		accepted := map[string]bool{}
		for _, p := range d.inbox(t) {
			if p.Status == 200 {
				accepted[p.NotificationID] = true
			}
		}
		for _, id := range ids[d] {
			if !accepted[id] {
				t.Errorf("%s never rang", id)
			}
		}
	}
}

// move moves the gateway's clock.
func (s *site) move(t *testing.T, by string) {
	t.Helper()
	carillon(t, "sandbox", "clock", "--ops", strings.TrimPrefix(s.ops, "http://"), by)
}
