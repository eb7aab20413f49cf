package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	benchHost = "bench.localhost"
	bundle    = "com.example.bench"
	settle    = 2 * time.Minute // the longest wait for what was accepted to ring
	poll      = 5 * time.Millisecond
)

// W1 is the first workload: notifications for users with one endpoint each,
// sent in bulk over TLS with a bearer token to a gateway whose broker, store
// and sandbox vendor share the machine with it and with the load.
type W1 struct {
	// Bin is the carillon binary, Peer that of bench/peers ("" = no peer).
	Bin, Peer string
	// Dir is where processes keep data and logs.
	Dir string
	// Users have one iOS endpoint each; Notifications are sent a round, to users
	// in turn; Rounds are played, each followed by the peer's.
	Users, Notifications, Rounds int
	// Connections carry requests of Lines notifications each.
	Connections, Lines int
	// Progress is told what is being done; may be nil.
	Progress io.Writer
}

// Round is what one round measured.
type Round struct {
	Notifications int64   `json:"notifications"`
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"perSecond"`
	// CPU microseconds a notification: of the gateway (ingress, broker,
	// dispatcher, provider, store in one process), the sandbox and the load.
	GatewayMicros float64 `json:"gatewayMicros"`
	SandboxMicros float64 `json:"sandboxMicros"`
	LoadMicros    float64 `json:"loadMicros"`
	Duplicates    int64   `json:"duplicates"`
	Stages        []Stage `json:"stages"`
	// Peer is the apns2 loop of the same round, Ratio ours to its rate.
	Peer  *PeerRound `json:"peer,omitempty"`
	Ratio float64    `json:"ratio,omitempty"`
}

// PeerRound is what bench/peers prints.
type PeerRound struct {
	Pushes    int64   `json:"pushes"`
	Failed    int64   `json:"failed"`
	Seconds   float64 `json:"seconds"`
	CPUMicros float64 `json:"cpuMicrosPerPush"`
}

// perSecond is the peer's rate.
func (p *PeerRound) perSecond() float64 { return float64(p.Pushes) / p.Seconds }

// sandboxInfo is what `carillon sandbox --json` announces.
type sandboxInfo struct {
	Ops   string `json:"ops"`
	Addrs struct {
		APNs  string `json:"apns"`
		FCM   string `json:"fcm"`
		WNS   string `json:"wns"`
		Token string `json:"token"`
	} `json:"addrs"`
	CAFile      string `json:"caFile"`
	Credentials struct {
		APNs struct {
			KeyFile string `json:"keyFile"`
			KeyID   string `json:"keyId"`
			TeamID  string `json:"teamId"`
		} `json:"apns"`
	} `json:"credentials"`
}

// serveInfo is what `carillon serve --json` announces.
type serveInfo struct {
	URL string `json:"url"`
	Ops string `json:"ops"`
}

// w1run is a workload under way.
type w1run struct {
	W1

	box     sandboxInfo
	gate    serveInfo
	sandbox *process
	serve   *process
	token   string
	http    *http.Client
	lines   [][]byte // request bodies, used in turn
	joined  Registration
}

// Run plays the workload.
func (w W1) Run(ctx context.Context) (joined Registration, rounds []Round, err error) {
	r := &w1run{W1: w}
	defer func() { err = errors.Join(err, r.serve.stop(), r.sandbox.stop()) }()
	for _, step := range []func(context.Context) error{r.startSandbox, r.startServe, r.connect, r.register, r.prepare} {
		if err := step(ctx); err != nil {
			return joined, nil, err
		}
	}
	joined = r.joined
	for i := range w.Rounds {
		r.say("round %d of %d: %d notifications", i+1, w.Rounds, w.Notifications)
		round, err := r.round(ctx)
		if err != nil {
			return joined, rounds, err
		}
		if w.Peer != "" {
			r.say("round %d of %d: apns2", i+1, w.Rounds)
			if err := r.peer(ctx, &round); err != nil {
				return joined, rounds, err
			}
		}
		rounds = append(rounds, round)
	}
	return joined, rounds, nil
}

func (r *w1run) say(format string, args ...any) {
	if r.Progress != nil {
		fmt.Fprintf(r.Progress, "==> "+format+"\n", args...)
	}
}

func (r *w1run) startSandbox(ctx context.Context) (err error) {
	r.say("starting the sandbox vendors")
	r.sandbox, err = start(ctx, r.Dir, r.Bin, "sandbox", &r.box,
		"sandbox", "--fast", "--json", "--dir", filepath.Join(r.Dir, "vendors"), "--ops", "127.0.0.1:0")
	return err
}

func (r *w1run) startServe(ctx context.Context) error {
	r.say("starting the gateway")
	certs := filepath.Join(r.Dir, "certs")
	if out, err := exec.CommandContext(ctx, r.Bin, "dev-cert", "--dir", certs).CombinedOutput(); err != nil { //nolint:gosec // our own binary
		return fmt.Errorf("bench: dev-cert: %w: %s", err, out)
	}
	c := r.box.Credentials.APNs
	yaml := fmt.Sprintf(`apps:
  - host: %s
    clients: [bench]
    identities: [{platform: ios, appId: %s}]
    credentials: [{platform: ios, file: %s, keyId: %s, teamId: %s, sandbox: true}]
http: {listen: "127.0.0.1:0", tlsCert: %s/cert.pem, tlsKey: %s/key.pem}
ops: {listen: "127.0.0.1:0"}
provider: {apns: {baseURL: "https://%s", caFile: %s}}
sandbox: {off: true}
`, benchHost, bundle, c.KeyFile, c.KeyID, c.TeamID, certs, certs, r.box.Addrs.APNs, r.box.CAFile)
	file := filepath.Join(r.Dir, "carillon.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return err
	}
	data := filepath.Join(r.Dir, "data")
	var err error
	if r.serve, err = start(ctx, r.Dir, r.Bin, "serve", &r.gate, "serve", "--json", "--data", data, "--config", file); err != nil {
		return err
	}
	token, err := exec.CommandContext(ctx, r.Bin, "token", "--app", benchHost, "--data", data, "--config", file).Output() //nolint:gosec // our own binary
	if err != nil {
		return fmt.Errorf("bench: token: %w", err)
	}
	r.token = string(bytes.TrimSpace(token))
	return nil
}

func (r *w1run) connect(context.Context) error {
	pem, err := os.ReadFile(filepath.Join(r.Dir, "certs", "ca.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	r.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 1024, WriteBufferSize: 64 << 10,
	}}
	return nil
}

// prepare makes the request bodies, so that the load costs little.
func (r *w1run) prepare(context.Context) error {
	var b bytes.Buffer
	n := 0
	for i := range r.Users {
		fmt.Fprintf(&b, `{"userId":%q,"targetHostName":%q,"payload":{"visualContent":{"title":"Dinner is ready","body":"Every bell in the house rings for all"}}}`+"\n",
			userName(i), benchHost)
		if n++; n == r.Lines || i == r.Users-1 {
			r.lines = append(r.lines, bytes.Clone(b.Bytes()))
			b.Reset()
			n = 0
		}
	}
	return nil
}

func (r *w1run) post(ctx context.Context, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.gate.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Prefer", "return=minimal")
	res, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"error"`)) {
		return fmt.Errorf("%s answered %s: %.300s", path, res.Status, text)
	}
	return nil
}

// counters are the marks that a round is measured between.
type counters struct {
	at                   time.Time
	gateway, box, load   time.Duration
	accepted, duplicates int64
}

func (r *w1run) counters(ctx context.Context) (c counters, err error) {
	var counts struct {
		Accepted   int64 `json:"accepted"`
		Duplicates int64 `json:"duplicates"`
	}
	if err := r.ops(ctx, r.box.Ops+"/sandbox/counts", &counts); err != nil {
		return c, err
	}
	c = counters{at: now(), accepted: counts.Accepted, duplicates: counts.Duplicates}
	var errs [3]error
	c.gateway, errs[0] = r.serve.cpu()
	c.box, errs[1] = r.sandbox.cpu()
	c.load, errs[2] = ownCPU()
	return c, errors.Join(errs[:]...)
}

func (r *w1run) ops(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if b, ok := into.(*[]byte); ok {
		*b, err = io.ReadAll(res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// round sends all notifications and waits until all have rung.
func (r *w1run) round(ctx context.Context) (Round, error) {
	before, err := r.counters(ctx)
	if err != nil {
		return Round{}, err
	}
	stop := make(chan struct{})
	profiled := make(chan [][]byte, 1)
	go func() { profiled <- r.profile(ctx, stop) }()
	sent, err := r.load(ctx)
	if err != nil {
		return Round{}, err
	}
	after, err := r.await(ctx, before.accepted+sent)
	close(stop)
	if err != nil {
		return Round{}, err
	}
	took := after.at.Sub(before.at)
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(sent) }
	round := Round{
		Notifications: sent, Seconds: took.Seconds(), PerSecond: float64(sent) / took.Seconds(),
		GatewayMicros: per(after.gateway - before.gateway), SandboxMicros: per(after.box - before.box),
		LoadMicros: per(after.load - before.load), Duplicates: after.duplicates - before.duplicates,
	}
	round.Stages, err = stagesOf(<-profiled, after.gateway-before.gateway, sent)
	return round, err
}

// load sends the round's notifications over all connections.
func (r *w1run) load(ctx context.Context) (int64, error) {
	var next, sent atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, r.Connections)
	for c := range r.Connections {
		wg.Go(func() {
			for {
				k := next.Add(1) - 1
				if k*int64(r.Lines) >= int64(r.Notifications) {
					return
				}
				body := r.lines[k%int64(len(r.lines))]
				if errs[c] = r.post(ctx, "/api/v1/notifications", body); errs[c] != nil {
					return
				}
				sent.Add(int64(bytes.Count(body, []byte{'\n'})))
			}
		})
	}
	wg.Wait()
	return sent.Load(), errors.Join(errs...)
}

// await waits until the sandbox has accepted so many.
func (r *w1run) await(ctx context.Context, accepted int64) (counters, error) {
	ctx, done := context.WithTimeout(ctx, settle)
	defer done()
	t := ticker(poll)
	defer t.Stop()
	for {
		c, err := r.counters(ctx)
		if err != nil {
			return c, fmt.Errorf("bench: waiting for %d accepted pushes: %w", accepted, err)
		}
		if c.accepted >= accepted {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("bench: %d of %d pushes were accepted within %s; logs are in %s", c.accepted, accepted, settle, r.Dir)
		case <-t.C:
		}
	}
}

// profile takes CPU profiles of the gateway, one after the other, until stop
// closes; short ones keep the tail after the round short.
func (r *w1run) profile(ctx context.Context, stop chan struct{}) [][]byte {
	var all [][]byte
	for {
		var b []byte
		if err := r.ops(ctx, r.gate.Ops+"/debug/pprof/profile?seconds="+strconv.Itoa(profileSeconds), &b); err != nil {
			return all
		}
		all = append(all, b)
		select {
		case <-stop:
			return all
		default:
		}
	}
}

const profileSeconds = 2

// peer runs the apns2 loop against the same sandbox.
func (r *w1run) peer(ctx context.Context, round *Round) error {
	c := r.box.Credentials.APNs
	cmd := exec.CommandContext(ctx, r.Peer, "-host", "https://"+r.box.Addrs.APNs, "-ca", r.box.CAFile, //nolint:gosec // built by our own Makefile
		"-key", c.KeyFile, "-key-id", c.KeyID, "-team", c.TeamID, "-n", strconv.Itoa(max(r.Notifications/4, 1000)))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("bench: apns2: %w", err)
	}
	round.Peer = &PeerRound{}
	if err := json.Unmarshal(out, round.Peer); err != nil {
		return fmt.Errorf("bench: apns2 answered %q: %w", out, err)
	}
	round.Ratio = round.PerSecond / round.Peer.perSecond()
	return nil
}
