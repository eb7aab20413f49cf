//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	restartSends   = 20_000
	restartUsers   = 1_000
	restartClients = 32
	restartKills   = 3
	restartLimit   = 2 * time.Minute // for all sends, and for all to ring
	// duplicateBound is what the gateway promises: the credits of a partition,
	// of 4, at each kill.
	duplicateBound = restartKills * 4 * 4096
)

// TestKilledWhileSending kills the gateway three times with kill -9 while 32
// clients send. Whatever was answered 201 must ring and must be history.
func TestKilledWhileSending(t *testing.T) {
	dir := workDir(t)
	box := startSandbox(t, dir)
	config := box.config(t, dir)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	f := &flood{t: t, http: client(t), ids: make([]string, restartSends)}
	f.http.Timeout = 10 * time.Second
	up := func() *site {
		s := serve(t, filepath.Join(dir, "data"), "--config", config)
		f.url.Store(&s.url)
		return s
	}
	s := up()
	f.token = s.app
	f.register()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		f.send()
	}()
	begin := time.Now()
	for kill := range restartKills {
		share := restartSends / (restartKills + 1)
		after := int64(share*kill + share/4 + random.IntN(share/2))
		late := time.NewTimer(time.Duration(random.IntN(20)) * time.Millisecond)
		until(t, restartLimit, fmt.Sprintf("%d notifications are accepted", after), func() bool { return f.accepted.Load() >= after })
		<-late.C
		s.kill()
		t.Logf("kill -9 number %d (seed %d) after %v, with %d accepted", kill+1, seed, time.Since(begin).Round(time.Millisecond), f.accepted.Load())
		s = up()
	}
	select {
	case <-sent:
	case <-time.After(restartLimit):
		f.giveUp.Store(true)
		<-sent
	}
	if n := f.accepted.Load(); n != restartSends || t.Failed() {
		t.Fatalf("%d of %d notifications were accepted; %v", n, restartSends, f.fault.Load())
	}
	t.Logf("%d accepted in %v, %d requests were repeated", restartSends, time.Since(begin).Round(time.Millisecond), f.repeats.Load())
	if n := len(slices.Compact(slices.Sorted(slices.Values(f.ids)))); n != restartSends {
		t.Errorf("%d sends have %d ids", restartSends, n)
	}
	f.rang(box, begin, duplicateBound)
	s.stop(t)
	s = up()
	f.history()
	s.stop(t)
}

// flood is many senders with what they were told.
type flood struct {
	t     *testing.T
	http  *http.Client
	token string
	url   atomic.Pointer[string] // of the gateway that lives now

	ids               []string // by number of the send; "" until it was accepted
	accepted, repeats atomic.Int64
	unsure            atomic.Int64 // requests without a key that got no answer: maybe accepted
	giveUp            atomic.Bool
	fault             atomic.Value // the last one, as text
}

func floodUser(i int) string { return fmt.Sprintf("dev.flood-%d", i%restartUsers) }

// each runs do for 0 … n-1 on the clients.
func (f *flood) each(n int, do func(i int)) {
	var next atomic.Int64
	var clients sync.WaitGroup
	for range restartClients {
		clients.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || f.giveUp.Load() {
					return
				}
				do(i)
			}
		})
	}
	clients.Wait()
}

// ask sends a request once; 0 means that no answer came.
func (f *flood) ask(method, path string, body []byte, headers ...string) (status int, answer []byte) {
	req, err := http.NewRequest(method, *f.url.Load()+path, bytes.NewReader(body))
	if err != nil {
		f.fault.Store(err.Error())
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.http.Do(req)
	if err != nil {
		f.fault.Store(err.Error())
		return 0, nil
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil { // killed while it answered
		f.fault.Store(err.Error())
		return 0, nil
	}
	if res.StatusCode/100 != 2 {
		f.fault.Store(fmt.Sprintf("%d %s", res.StatusCode, answer))
	}
	return res.StatusCode, answer
}

// register gives each user one device, of a third of the platforms each.
func (f *flood) register() {
	f.t.Helper()
	f.each(restartUsers, func(i int) {
		platform := []string{"windows", "ios", "android"}[i%3]
		body, _ := json.Marshal(map[string]string{"host": host, "platform": platform, "address": address(platform, floodUser(i))})
		if status, answer := f.ask("PUT", "/api/v1/users/"+floodUser(i)+"/endpoints/one", body); status != 200 {
			f.t.Errorf("registering: %d %s", status, answer)
			f.giveUp.Store(true)
		}
	})
	if f.t.Failed() {
		f.t.FailNow()
	}
}

// keyed tells whether a send has an idempotency key: three of four.
func keyed(i int) bool { return i%4 != 3 }

// send sends every notification until it is accepted. A repeat has the key of
// the first try, as a careful sender's would, or none: then what was repeated may
// be there twice.
func (f *flood) send() {
	f.each(restartSends, func(i int) {
		body, _ := json.Marshal(visual(fmt.Sprintf("number %d", i), ""))
		pause := time.NewTicker(20 * time.Millisecond)
		defer pause.Stop()
		for !f.giveUp.Load() {
			var header []string
			if keyed(i) {
				header = []string{"Idempotency-Key", fmt.Sprintf("send-%d", i)}
			}
			status, answer := f.ask("POST", "/beta/users/"+floodUser(i)+"/notifications", body, header...)
			switch status {
			case 201:
				var n struct{ ID string }
				if err := json.Unmarshal(answer, &n); err != nil || n.ID == "" {
					f.t.Errorf("a 201 without an id: %s", answer)
				}
				f.ids[i] = n.ID
				f.accepted.Add(1)
				return
			case 0, 409, 429, 503:
				f.repeats.Add(1)
				if !keyed(i) {
					f.unsure.Add(1)
				}
				<-pause.C
			default:
				f.t.Errorf("sending: %d %s", status, answer)
				f.giveUp.Store(true)
			}
		}
	})
}

// rang waits until the vendors have accepted all that was accepted from us, at
// most bound of them again.
func (f *flood) rang(box *vendors, begin time.Time, bound int64) {
	f.t.Helper()
	var missing []string
	defer func() {
		if len(missing) > 0 {
			f.t.Errorf("%d accepted notifications never rang, among them %v", len(missing), missing[:min(3, len(missing))])
		}
	}()
	until(f.t, restartLimit, "every accepted notification rings", func() bool {
		var received []string
		box.ask(f.t, "/sandbox/received", &received)
		known := make(map[string]bool, len(received))
		for _, id := range received {
			known[id] = true
		}
		missing = missing[:0]
		for _, id := range f.ids {
			if !known[id] {
				missing = append(missing, id)
			}
		}
		return len(missing) == 0
	})
	var counts struct{ Accepted, Rejected, Duplicates int64 }
	box.ask(f.t, "/sandbox/counts", &counts)
	f.t.Logf("all rang %v after the first send; the vendors accepted %d pushes, %d of them again, and rejected %d",
		time.Since(begin).Round(time.Millisecond), counts.Accepted, counts.Duplicates, counts.Rejected)
	if counts.Duplicates > bound || counts.Rejected > 0 {
		f.t.Errorf("more than %d duplicates, or rejected pushes: %+v", bound, counts)
	}
}

// history compares what every user reads with what was accepted for him: all of
// it, and no more but what nobody can be sure of.
func (f *flood) history() {
	f.t.Helper()
	var wrong, more atomic.Int64
	f.each(restartUsers, func(i int) {
		missing := map[string]bool{}
		for n := i; n < restartSends; n += restartUsers {
			missing[f.ids[n]] = true
		}
		status, answer := f.ask("GET", "/beta/users/"+floodUser(i)+"/notifications?$top=1000", nil)
		var list struct{ Value []struct{ ID string } }
		err := json.Unmarshal(answer, &list)
		for _, n := range list.Value {
			if !missing[n.ID] {
				more.Add(1)
			}
			delete(missing, n.ID)
		}
		if (status != 200 || err != nil || len(missing) > 0) && wrong.Add(1) == 1 {
			f.t.Errorf("the history of %s is %d %s; it lacks %v", floodUser(i), status, answer, missing)
		}
	})
	if n := wrong.Load(); n > 0 {
		f.t.Errorf("%d of %d users have less history than what was accepted", n, restartUsers)
	}
	f.t.Logf("history holds %d notifications more than were answered 201, of %d requests without key and answer", more.Load(), f.unsure.Load())
	if more.Load() > f.unsure.Load() {
		f.t.Error("that is too many: a repeated key, or a replay, made another notification")
	}
}

// vendors is `carillon sandbox` as a process of its own, which survives the
// gateway.
type vendors struct {
	*process

	http *http.Client
	told struct {
		Addrs struct{ APNs, FCM, WNS, Token string }
		Ops   string

		CAFile      string
		Credentials struct {
			APNs struct{ KeyFile, KeyID, TeamID string }
			FCM  struct{ File string }
			WNS  struct{ PackageSID, SecretFile string }
		}
	}
}

func startSandbox(t *testing.T, dir string) *vendors {
	t.Helper()
	return startSandboxIn(t, dir, filepath.Join(dir, "sandbox"))
}

// startSandboxIn keeps its keys in a directory of their own.
func startSandboxIn(t *testing.T, dir, keys string) *vendors {
	t.Helper()
	v := &vendors{http: client(t)}
	v.process = start(t, filepath.Join(dir, "sandbox.log"), binary, "sandbox", "--dir", keys, "--ops", "127.0.0.1:0", "--json")
	v.announced(t, &v.told)
	return v
}

// ask reads what the vendors saw.
func (v *vendors) ask(t *testing.T, path string, into any) {
	t.Helper()
	r := fetch(t, v.http, v.told.Ops+path, "", "GET", nil).want(t, 200)
	if err := json.Unmarshal(r.text, into); err != nil {
		t.Fatal(err)
	}
}

// config writes the configuration of a gateway that rings these vendors.
func (v *vendors) config(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "carillon.yaml")
	c := v.told
	text := fmt.Sprintf(`sandbox: {off: true}
apps:
  - host: %s
    clients: [demo-client]
    identities:
      - {platform: ios, appId: %s}
      - {platform: android, appId: %[2]s}
      - {platform: windows, appId: %q}
    credentials:
      - {platform: ios, file: %q, keyId: %s, teamId: %s, sandbox: true}
      - {platform: android, file: %q, sandbox: true}
      - {platform: windows, packageSid: %q, secretFile: %q, sandbox: true}
provider:
  apns: {baseURL: "https://%s", caFile: %q}
  fcm: {baseURL: "https://%s", caFile: %[11]q}
  wns: {dialAddress: %[13]q, tokenURL: "https://%s/accesstoken.srf", caFile: %[11]q}
`, host, bundle, aumid, c.Credentials.APNs.KeyFile, c.Credentials.APNs.KeyID, c.Credentials.APNs.TeamID,
		c.Credentials.FCM.File, c.Credentials.WNS.PackageSID, c.Credentials.WNS.SecretFile,
		c.Addrs.APNs, c.CAFile, c.Addrs.FCM, c.Addrs.WNS, c.Addrs.Token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
