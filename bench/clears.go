package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"carillon/provider/sandbox"
)

// Clears measures how long a dismissal takes to reach the user's other devices:
// from the moment that the request is due until the vendor of the last other
// device has the clear. Every user has a Windows, an iOS and an Android device,
// dismisses on the last, and does so once: each sample is a leading edge, which
// nothing that came before holds up. Meanwhile the gateway sends other users
// notifications at a share of what it can do, which is measured first. Requests
// are sent when they are due, whatever became of those before (open loop).
type Clears struct {
	// Bin is the carillon binary, Dir where processes keep data and logs.
	Bin, Dir string
	// Samples are dismissed, Rate of them a second.
	Samples, Rate int
	// Others are the users who get the load, Peak the notifications that show
	// what the gateway can do, Load the share of that which is sent meanwhile.
	Others, Peak int
	Load         float64
	// Progress is told what is being done; may be nil.
	Progress io.Writer
}

// ClearsResult is what [Clears] measured. Rates are deliveries a second.
type ClearsResult struct {
	Samples   int     `json:"samples"`
	PerSecond float64 `json:"dismissalsPerSecond"`
	// Peak is what the gateway delivered when it was given all at once, Load what
	// it delivered while the clears were measured, clears included.
	Peak float64 `json:"peakPerSecond"`
	Load float64 `json:"loadPerSecond"`
	// Cleared is until the last other device's vendor has the clear, IOS and Windows
	// until that one's has it, Answered until the caller has his answer:
	// microseconds.
	Cleared  Latency `json:"cleared"`
	IOS      Latency `json:"ios"`
	Windows  Latency `json:"windows"`
	Answered Latency `json:"answered"`
	// Lost are dismissals whose clear did not come within the time-out.
	Lost int `json:"lost"`
}

// Write prints it for people.
func (r ClearsResult) Write(w io.Writer) {
	fmt.Fprintf(w, "%d dismissals, %.0f a second, beside %.0f deliveries a second: %.0f %% of the %.0f that were measured before\n\n",
		r.Samples, r.PerSecond, r.Load, 100*r.Load/r.Peak, r.Peak)
	fmt.Fprintf(w, "  milliseconds                      p50      p90      p99    p99.9      max\n")
	for _, l := range []struct {
		what string
		l    Latency
	}{{"last other device's vendor has it", r.Cleared}, {"APNs has it", r.IOS}, {"WNS has it", r.Windows}, {"the caller has his answer", r.Answered}} {
		fmt.Fprintf(w, "  %-33s %7.2f  %7.2f  %7.2f  %7.2f  %7.2f\n", l.what, l.l.P50/1000, l.l.P90/1000, l.l.P99/1000, l.l.P999/1000, l.l.Max/1000)
	}
	fmt.Fprintf(w, "\n  lost: %d\n", r.Lost)
}

const (
	clearTimeout = 5 * time.Second
	clearTick    = 10 * time.Millisecond // between bulk requests of the load
	clearsWNS    = "https://wns2-sbx.notify.windows.com"
	clearsAUMID  = "Example.Bench_1!App"
)

// clearsRun is one under way.
type clearsRun struct {
	Clears
	w1run

	vendors *sandbox.Server
	samples []clearSample
	// devices are when the clear came to the samples' devices that do not act,
	// nanoseconds since 1970, by address.
	devices    map[string]*atomic.Int64
	dismissing atomic.Bool

	mu                sync.Mutex
	cleared, answered *hdrhistogram.Histogram
	byPlatform        map[string]*hdrhistogram.Histogram // by platform
	lost              int
}

// clearSample is one user's dismissal.
type clearSample struct {
	id, subscription string
	due              time.Time
}

func sampleUser(i int) string { return fmt.Sprintf("dev.s%07d", i) }
func otherUser(i int) string  { return fmt.Sprintf("dev.o%07d", i) }

// Run plays it.
func (c Clears) Run(ctx context.Context) (res ClearsResult, err error) {
	r := &clearsRun{Clears: c, samples: make([]clearSample, c.Samples)}
	r.w1run.Bin, r.w1run.Dir, r.w1run.Progress = c.Bin, c.Dir, c.Progress
	r.cleared, r.answered = latencies(), latencies()
	r.devices = make(map[string]*atomic.Int64, 2*c.Samples)
	for i := range c.Samples {
		for platform, address := range devicesOf(sampleUser(i)) {
			if platform != "android" {
				r.devices[address] = &atomic.Int64{}
			}
		}
	}
	r.byPlatform = map[string]*hdrhistogram.Histogram{"ios": latencies(), "windows": latencies()}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var fault error
	defer func() {
		err = errors.Join(err, r.serve.stop())
		stop()
		wg.Wait()
		err = errors.Join(err, fault)
	}()
	if r.vendors, err = sandbox.New(sandbox.Config{
		Dir: filepath.Join(c.Dir, "vendors"), Mode: sandbox.Fast, Watch: r.heard, Logger: slog.New(slog.DiscardHandler),
	}); err != nil {
		return res, err
	}
	wg.Go(func() { fault = r.vendors.Run(running) })
	for _, step := range []func(context.Context) error{r.startGateway, r.connect, r.join, r.ring} {
		if err := step(ctx); err != nil {
			return res, err
		}
	}
	if res.Peak, err = r.peak(ctx); err != nil {
		return res, err
	}
	return r.measure(ctx, res)
}

func (r *clearsRun) say(format string, args ...any) { r.w1run.say(format, args...) }

// startGateway starts one that rings the vendors in this process.
func (r *clearsRun) startGateway(ctx context.Context) error {
	r.say("starting the gateway")
	dir := r.Dir
	certs := filepath.Join(dir, "certs")
	if out, err := exec.CommandContext(ctx, r.Bin, "dev-cert", "--dir", certs).CombinedOutput(); err != nil { //nolint:gosec // our own binary
		return fmt.Errorf("bench: dev-cert: %w: %s", err, out)
	}
	c, addrs, ca := r.vendors.Credentials(), r.vendors.Addrs(), r.vendors.CAFile()
	yaml := fmt.Sprintf(`apps:
  - host: %s
    clients: [bench]
    identities: [{platform: ios, appId: %s}, {platform: android, appId: %[2]s}, {platform: windows, appId: %q}]
    credentials:
      - {platform: ios, file: %q, keyId: %s, teamId: %s, sandbox: true}
      - {platform: android, file: %q, sandbox: true}
      - {platform: windows, packageSid: %q, secretFile: %q, sandbox: true}
http: {listen: "127.0.0.1:0", tlsCert: "%s/cert.pem", tlsKey: "%[10]s/key.pem"}
ops: {listen: "127.0.0.1:0"}
provider:
  apns: {baseURL: "https://%[11]s", caFile: %[12]q}
  fcm: {baseURL: "https://%[13]s", caFile: %[12]q, quotaPerMinute: -1}
  wns: {dialAddress: %[14]q, tokenURL: "https://%[15]s/accesstoken.srf", caFile: %[12]q}
sandbox: {off: true}
`, benchHost, bundle, clearsAUMID, c.APNs.KeyFile, c.APNs.KeyID, c.APNs.TeamID, c.FCM.File, c.WNS.PackageSID, c.WNS.SecretFile,
		certs, addrs.APNs, ca, addrs.FCM, addrs.WNS, addrs.Token)
	file, data := filepath.Join(dir, "carillon.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return err
	}
	var err error
	if r.serve, err = start(ctx, dir, r.Bin, "serve", &r.gate, "serve", "--json", "--data", data, "--config", file); err != nil {
		return err
	}
	token, err := output(ctx, r.Bin, "token", "--app", benchHost, "--data", data, "--config", file)
	r.token = string(bytes.TrimSpace(token))
	return err
}

// devicesOf are the addresses of a user's devices by platform.
func devicesOf(user string) map[string]string {
	return map[string]string{
		"windows": sandbox.NewAddress(sandbox.WNS, user), "ios": sandbox.NewAddress(sandbox.APNs, user), "android": sandbox.NewAddress(sandbox.FCM, user),
	}
}

// join registers three devices for every user, and learns the subscription ids of
// those that will dismiss.
func (r *clearsRun) join(ctx context.Context) error {
	r.say("registering %d users with three devices each", r.Samples+r.Others)
	var b bytes.Buffer
	flush := func() error {
		defer b.Reset()
		return r.post(ctx, "/api/v1/endpoints", b.Bytes())
	}
	line := func(user, platform, address string) {
		app := bundle
		if platform == "windows" {
			app = clearsAUMID
		}
		fmt.Fprintf(&b, `{"userId":%q,"installationId":%q,"host":%q,"platform":%[2]q,"address":%[4]q,"appId":%[5]q}`+"\n", user, platform, benchHost, address, app)
	}
	for i := range r.Samples + r.Others {
		user := otherUser(i)
		if i < r.Samples {
			user = sampleUser(i)
		}
		for platform, address := range devicesOf(user) {
			line(user, platform, address)
		}
		if b.Len() > 4<<20 {
			if err := flush(); err != nil {
				return fmt.Errorf("bench: registering: %w", err)
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("bench: registering: %w", err)
	}
	return r.each(ctx, r.Samples, func(i int) error {
		address := devicesOf(sampleUser(i))["android"]
		body, _ := json.Marshal(map[string]string{"host": benchHost, "platform": "android", "address": address, "appId": bundle}) //nolint:errchkjson // strings
		text, err := r.ask(ctx, http.MethodPut, "/api/v1/users/"+sampleUser(i)+"/endpoints/android", body)
		if err != nil {
			return err
		}
		var e struct {
			SubscriptionID string `json:"subscriptionId"`
		}
		err = json.Unmarshal(text, &e)
		r.samples[i].subscription = e.SubscriptionID
		return err
	})
}

// ring sends every sample's user what he will dismiss, and waits until all of his
// devices show it.
func (r *clearsRun) ring(ctx context.Context) error {
	r.say("ringing %d users", r.Samples)
	err := r.each(ctx, r.Samples, func(i int) error {
		text, err := r.ask(ctx, http.MethodPost, "/beta/users/"+sampleUser(i)+"/notifications", note(""))
		if err != nil {
			return err
		}
		var n struct {
			ID string `json:"id"`
		}
		err = json.Unmarshal(text, &n)
		r.samples[i].id = n.ID
		return err
	})
	if err != nil {
		return err
	}
	return r.accepts(ctx, int64(3*r.Samples))
}

// note is a notification; of a bulk line it names its user.
func note(user string) []byte {
	to := ""
	if user != "" {
		to = `"userId":` + strconv.Quote(user) + `,`
	}
	return []byte(`{` + to + `"targetHostName":"` + benchHost + `","payload":{"visualContent":{"title":"Dinner is ready","body":"Every bell in the house rings for all"}}}` + "\n")
}

// accepts waits until the vendors have taken so many pushes in all.
func (r *clearsRun) accepts(ctx context.Context, n int64) error {
	ctx, done := context.WithTimeout(ctx, settle)
	defer done()
	t := ticker(poll)
	defer t.Stop()
	for r.vendors.Counts().Accepted < n {
		select {
		case <-ctx.Done():
			return fmt.Errorf("bench: %d of %d pushes were accepted within %s; logs are in %s", r.vendors.Counts().Accepted, n, settle, r.Dir)
		case <-t.C:
		}
	}
	return nil
}

// each calls do for 0 … n-1 on some goroutines; the first fault ends it.
func (r *clearsRun) each(ctx context.Context, n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if errs[w] = do(i); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// ask makes a JSON call; headers are name, value.
func (r *clearsRun) ask(ctx context.Context, method, path string, body []byte, headers ...string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.gate.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s answered %s: %.300s", method, path, res.Status, text)
	}
	return text, err
}

// bulk sends n notifications to the others, from the k-th on.
func (r *clearsRun) bulk(ctx context.Context, k, n int) error {
	var b bytes.Buffer
	for i := range n {
		b.Write(note(otherUser(r.Samples + (k+i)%r.Others)))
	}
	return r.post(ctx, "/api/v1/notifications", b.Bytes())
}

// peak is how many deliveries a second there are when all comes at once.
func (r *clearsRun) peak(ctx context.Context) (perSecond float64, err error) {
	r.say("measuring the peak with %d notifications", r.Peak)
	const lines = 500
	before, begin := r.vendors.Counts().Accepted, now()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for c := range errs {
		wg.Go(func() {
			for k := int(next.Add(lines)) - lines; k < r.Peak && errs[c] == nil; k = int(next.Add(lines)) - lines {
				errs[c] = r.bulk(ctx, k, min(lines, r.Peak-k))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	err = r.accepts(ctx, before+int64(3*r.Peak))
	return float64(3*r.Peak) / now().Sub(begin).Seconds(), err
}

// measure dismisses, one user after the other, beside the load.
func (r *clearsRun) measure(ctx context.Context, res ClearsResult) (ClearsResult, error) {
	r.say("dismissing %d, %d a second, beside %.0f deliveries a second", r.Samples, r.Rate, r.Load*res.Peak)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	before, begin := r.vendors.Counts().Accepted, now()
	var faults [3]error
	var load, calls sync.WaitGroup
	done := make(chan struct{})
	load.Go(func() { faults[0] = r.load(ctx, done, r.Load*res.Peak/3) })
	r.dismissing.Store(true)
	t := ticker(time.Millisecond)
	defer t.Stop()
	var failed atomic.Pointer[error]
	for i := range r.Samples {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(r.Rate))
		for now().Before(due) {
			<-t.C
		}
		r.samples[i].due = due
		calls.Go(func() {
			if err := r.dismiss(ctx, i); err != nil {
				failed.Store(&err)
			}
		})
	}
	took := now().Sub(begin)
	res.Samples, res.PerSecond = r.Samples, float64(r.Samples)/took.Seconds()
	res.Load = float64(r.vendors.Counts().Accepted-before) / took.Seconds()
	calls.Wait()
	close(done)
	load.Wait()
	r.harvest(ctx)
	if err := failed.Load(); err != nil {
		faults[1] = *err
	}
	res.Cleared, res.Answered, res.Lost = latencyFrom(r.cleared), latencyFrom(r.answered), r.lost
	res.IOS, res.Windows = latencyFrom(r.byPlatform["ios"]), latencyFrom(r.byPlatform["windows"])
	return res, errors.Join(faults[:]...)
}

// load sends notifications at an even pace until done closes. Ten requests are
// under way at most: a gateway that is behind is not buried.
func (r *clearsRun) load(ctx context.Context, done chan struct{}, perSecond float64) error {
	begin, sent := now(), 0
	slots := make(chan struct{}, 10)
	var wg sync.WaitGroup
	defer wg.Wait()
	var failed atomic.Pointer[error]
	t := ticker(clearTick)
	defer t.Stop()
	for {
		select {
		case <-done:
			if err := failed.Load(); err != nil {
				return *err
			}
			return nil
		case <-t.C:
		}
		n := int(now().Sub(begin).Seconds()*perSecond) - sent
		if n <= 0 {
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		k := sent
		sent += n
		wg.Go(func() {
			if err := r.bulk(ctx, k, n); err != nil {
				failed.Store(&err)
			}
			<-slots
		})
	}
}

// dismiss is one user's, on his Android device.
func (r *clearsRun) dismiss(ctx context.Context, i int) error {
	s := &r.samples[i]
	_, err := r.ask(ctx, http.MethodPatch, "/beta/users/"+sampleUser(i)+"/notifications/"+url.PathEscape(s.id), []byte(`{"userActionState":"Dismissed"}`), "X-UNS-ID", s.subscription)
	took := now().Sub(s.due)
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.answered.RecordValue(took.Microseconds())
	return err
}

// heard notes when a vendor has the clear of a sample's device: the first push to
// it since the dismissals began.
func (r *clearsRun) heard(v sandbox.Vendor, address string) {
	if v == sandbox.FCM || !r.dismissing.Load() {
		return
	}
	if v == sandbox.WNS {
		address = clearsWNS + address
	}
	if at, ok := r.devices[address]; ok {
		at.CompareAndSwap(0, now().UnixNano())
	}
}

// harvest waits until the vendors have all clears, and sums up.
func (r *clearsRun) harvest(ctx context.Context) {
	t := ticker(poll)
	defer t.Stop()
	end := now().Add(clearTimeout)
	for i := range r.samples {
		var last int64
		for platform, h := range r.byPlatform {
			at := r.devices[devicesOf(sampleUser(i))[platform]]
			for at.Load() == 0 && now().Before(end) && ctx.Err() == nil {
				<-t.C
			}
			if at.Load() == 0 {
				last = -1
				break
			}
			took := max((at.Load()-r.samples[i].due.UnixNano())/1000, 1)
			_ = h.RecordValue(took)
			last = max(last, took)
		}
		if last < 0 {
			r.lost++
			continue
		}
		_ = r.cleared.RecordValue(last)
	}
}

func latencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, time.Minute.Microseconds(), 3) }

func latencyFrom(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()), Mean: h.Mean()}
}
