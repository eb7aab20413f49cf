package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carillon"
	"carillon/provider"
	"carillon/provider/apns"
	"carillon/provider/fcm"
	"carillon/provider/sandbox"
	"carillon/provider/wns"
)

// Push is a closed loop of pushes to one server, by the senders that the gateway
// itself uses: what is encoded, sent and judged is the same code. The zero value
// of every number has a good default; Platform, Target and Dir are needed.
type Push struct {
	// Platform names the vendor whose protocol is spoken: IOS, Android or Windows.
	Platform carillon.Platform
	// Target is the base URL of any HTTP/2 server. WNS addresses name their host
	// themselves: of a WNS target only host and port count, and its certificate
	// must be good for bench.notify.windows.com.
	Target string
	// CA is a PEM file with the certificates to trust; "" = the system's.
	CA string
	// Dir is where made-up credentials are kept for the run.
	Dir string
	// Pushes are measured, after Warmup more that are not.
	Pushes, Warmup int
	// InFlight is the most unanswered pushes, over all Connections, each of which
	// is a sender of its own.
	InFlight, Connections int
	// Body is the wanted length of a payload in bytes. Where the vendor's own
	// frame is longer, it is as short as that allows.
	Body int
	// Log is told of connection events; nil: nothing is.
	Log *slog.Logger
}

// PushResult is what a run measured.
type PushResult struct {
	Provider    string `json:"provider"`
	Target      string `json:"target"`
	Pushes      int64  `json:"pushes"`
	Accepted    int64  `json:"accepted"`
	Connections int    `json:"connections"`
	InFlight    int    `json:"inFlight"`
	// Opened is how many connections were opened, warm-up included: more than
	// Connections means that some were lost.
	Opened    uint64  `json:"opened"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`
	// CPUMicros is user and system time of this process a push (getrusage).
	CPUMicros float64 `json:"cpuMicrosPerPush"`
	// BytesPerPush is what HTTP/2 writes for a push, frame headers included,
	// before TLS. 0: the server spoke HTTP/1.1.
	BytesPerPush float64 `json:"bytesPerPush"`
	// PushesPerWrite is how many pushes one write carried.
	PushesPerWrite float64 `json:"pushesPerWrite"`
	Latency        Latency `json:"latency"`
	// Refused counts what was not accepted, by class and the vendor's reason.
	Refused map[string]int64 `json:"refused,omitempty"`
}

const (
	pushHost  = "bench.localhost"
	wnsHost   = "bench.notify.windows.com"
	pushBatch = 256     // what dispatch hands over in one go by default
	devices   = 1 << 20 // distinct addresses at most; ids are always distinct
)

func (p *Push) setDefaults() error {
	for _, v := range []struct {
		at  *int
		def int
	}{{&p.Pushes, 300_000}, {&p.InFlight, 500}, {&p.Connections, 1}, {&p.Body, 230}} {
		if *v.at <= 0 {
			*v.at = v.def
		}
	}
	if p.Warmup <= 0 {
		p.Warmup = min(p.Pushes/4, 20_000)
	}
	if p.InFlight < p.Connections {
		return fmt.Errorf("bench: %d pushes in flight cannot use %d connections", p.InFlight, p.Connections)
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Run sends the pushes and waits for the answer to each.
func (p *Push) Run(ctx context.Context) (res PushResult, err error) {
	if err := p.setDefaults(); err != nil {
		return res, err
	}
	// Its token endpoint answers FCM's and WNS' senders, whatever the target is.
	own, err := sandbox.New(sandbox.Config{Dir: filepath.Join(p.Dir, "credentials"), Logger: p.Log})
	if err != nil {
		return res, err
	}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var fault error
	wg.Go(func() { fault = own.Run(running) })
	defer func() {
		stop()
		wg.Wait()
		err = errors.Join(err, fault)
	}()
	addresses := addressesOf(p.Platform, min(p.Pushes+p.Warmup, devices))
	note, err := p.notification(ctx, own, addresses[:1])
	if err != nil {
		return res, err
	}
	cfg, app, err := p.configure(own)
	if err != nil {
		return res, err
	}
	lanes, end, err := p.open(ctx, cfg, app, addresses, note)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := send(ctx, lanes, p.Warmup); err != nil {
		return res, err
	}
	before := marks(lanes)
	if err := send(ctx, lanes, p.Pushes); err != nil {
		return res, err
	}
	return p.result(lanes, before, marks(lanes)), nil
}

// open makes a sender for each connection and runs them until end is called.
func (p *Push) open(
	ctx context.Context, cfg provider.Config, app carillon.App, addresses []string, note *carillon.Notification,
) (lanes []*pushLane, end func() error, err error) {
	apps, err := carillon.NewApps([]carillon.App{app})
	if err != nil {
		return nil, nil, err
	}
	next := &pushCounter{}
	for i := range p.Connections {
		share := p.InFlight*(i+1)/p.Connections - p.InFlight*i/p.Connections
		cfg.APNs.MaxInFlight, cfg.FCM.MaxInFlight, cfg.WNS.MaxInFlight = share, share, share
		l := newPushLane(p.Platform, share, addresses, note, next)
		l.sender, err = provider.New(cfg, func() *carillon.Apps { return apps }, &carillon.Clock{}, p.Log).
			Open(carillon.Lane{Platform: p.Platform, Host: pushHost}, l)
		if err != nil {
			return nil, nil, err
		}
		lanes = append(lanes, l)
	}
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	faults := make([]error, len(lanes))
	for i, l := range lanes {
		wg.Go(func() { faults[i] = l.sender.Run(ctx) })
	}
	return lanes, func() error {
		stop()
		wg.Wait()
		return errors.Join(faults...)
	}, nil
}

// configure points the vendors' senders to the target, with credentials and a
// token endpoint of our own.
func (p *Push) configure(box *sandbox.Server) (cfg provider.Config, app carillon.App, err error) {
	addrs, creds := box.Addrs(), box.Credentials()
	ca, err := p.trust(box.CAFile())
	if err != nil {
		return cfg, app, err
	}
	cfg = provider.Config{
		APNs: apns.Config{BaseURL: p.Target, CAFile: p.CA, MaxConnections: 1},
		FCM:  fcm.Config{BaseURL: p.Target, CAFile: ca, MaxConnections: 1, QuotaPerMinute: -1},
		WNS: wns.Config{
			DialAddress: strings.TrimPrefix(p.Target, "https://"), CAFile: ca, TokenURL: "https://" + addrs.Token + "/accesstoken.srf",
		},
	}
	return cfg, carillon.App{Host: pushHost, Credentials: []carillon.Credential{
		{Platform: carillon.IOS, File: creds.APNs.KeyFile, KeyID: creds.APNs.KeyID, TeamID: creds.APNs.TeamID},
		{Platform: carillon.Android, File: creds.FCM.File},
		{Platform: carillon.Windows, PackageSID: creds.WNS.PackageSID, Secret: creds.WNS.Secret},
	}}, nil
}

// trust is a file with the target's CA and that of our own token endpoint.
func (p *Push) trust(own string) (string, error) {
	all, err := os.ReadFile(own)
	if err != nil {
		return "", err
	}
	if p.CA != "" {
		theirs, err := os.ReadFile(p.CA)
		if err != nil {
			return "", fmt.Errorf("bench: the CA file: %w", err)
		}
		all = append(append(all, '\n'), theirs...)
	}
	file := filepath.Join(p.Dir, "trust.pem")
	return file, os.WriteFile(file, all, 0o600) //nolint:gosec // in a directory of our own
}

// notification is the content of every push: as much text as makes the payload
// Body bytes long. How long the rest is tells one push to our own vendors.
func (p *Push) notification(ctx context.Context, own *sandbox.Server, address []string) (*carillon.Notification, error) {
	n := &carillon.Notification{
		Expires: now().Add(24 * time.Hour).UnixMilli(), TTL: -1, Badge: -1, HasVisual: true, Title: "Dinner is ready", Body: "x",
	}
	addrs := own.Addrs()
	trial := Push{Platform: p.Platform, CA: own.CAFile(), Dir: p.Dir, InFlight: 1, Connections: 1, Log: p.Log}
	trial.Target = "https://" + map[carillon.Platform]string{carillon.IOS: addrs.APNs, carillon.Android: addrs.FCM, carillon.Windows: addrs.WNS}[p.Platform]
	cfg, app, err := trial.configure(own)
	if err != nil {
		return nil, err
	}
	lanes, end, err := trial.open(ctx, cfg, app, address, n)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(send(ctx, lanes, 1), end()); err != nil {
		return nil, err
	}
	got := own.Inbox(address[0])
	if len(got) != 1 || lanes[0].accepted != 1 {
		return nil, fmt.Errorf("bench: a push to our own vendors was not accepted: %v", lanes[0].refused)
	}
	size := len(got[0].Body)
	if text := ""; json.Unmarshal(got[0].Body, &text) == nil { // XML
		size = len(text)
	}
	n.Body = strings.Repeat("x", max(p.Body-size+1, 1))
	return n, nil
}

// addressesOf makes n distinct push addresses in the vendor's form.
func addressesOf(p carillon.Platform, n int) []string {
	var form string
	switch p {
	case carillon.Android: // 22 characters, colon, 140 characters
		form = "dBench%016x:APA91b%0134x"
	case carillon.Windows:
		form = "https://" + wnsHost + "/?token=AwYAAAB%%2b%016x%%2f%096x"
	default:
		form = "%032x%032x"
	}
	// One string, cut to pieces: a gateway reads addresses from its memory too.
	var all strings.Builder
	ends := make([]int, 0, n)
	for i := range uint64(n) { //nolint:gosec // not negative
		fmt.Fprintf(&all, form, i*0x9e3779b97f4a7c15, i+1)
		ends = append(ends, all.Len())
	}
	text, from := all.String(), 0
	addresses := make([]string, 0, n)
	for _, to := range ends {
		addresses = append(addresses, text[from:to])
		from = to
	}
	return addresses
}

// result puts the two marks of a run together.
func (p *Push) result(lanes []*pushLane, before, after pushMarks) PushResult {
	n := float64(p.Pushes)
	took := after.at.Sub(before.at)
	res := PushResult{
		Provider: providerName(p.Platform), Target: p.Target, Pushes: int64(p.Pushes),
		Connections: p.Connections, InFlight: p.InFlight, Opened: after.opened,
		Seconds: took.Seconds(), PerSecond: n / took.Seconds(),
		CPUMicros:    float64((after.cpu - before.cpu).Nanoseconds()) / n / 1e3,
		BytesPerPush: float64(after.bytes-before.bytes) / n,
		Latency:      latencyOf(lanes),
		Refused:      map[string]int64{},
	}
	if w := after.writes - before.writes; w > 0 {
		res.PushesPerWrite = n / float64(w)
	}
	for _, l := range lanes {
		res.Accepted += l.accepted
		for why, n := range l.refused {
			res.Refused[why] += n
		}
	}
	return res
}

// providerName is the vendor's name on the command line.
func providerName(p carillon.Platform) string {
	switch p {
	case carillon.Android:
		return "fcm"
	case carillon.Windows:
		return "wns"
	default:
		return "apns"
	}
}

// ParseProvider reads apns, fcm or wns.
func ParseProvider(s string) (carillon.Platform, bool) {
	for _, p := range []carillon.Platform{carillon.IOS, carillon.Android, carillon.Windows} {
		if providerName(p) == s {
			return p, true
		}
	}
	return carillon.PlatformNone, false
}

// Write prints the result for people.
func (r PushResult) Write(w io.Writer) {
	fmt.Fprintf(w, "%d pushes to %s (%s), %d in flight on %d connections: %d accepted\n\n",
		r.Pushes, r.Target, r.Provider, r.InFlight, r.Connections, r.Accepted)
	fmt.Fprintf(w, "  requests/s         %12.0f\n", r.PerSecond)
	fmt.Fprintf(w, "  client CPU µs      %12.3f  a request, user and system, this process\n", r.CPUMicros)
	fmt.Fprintf(w, "  bytes              %12.1f  a request, HTTP/2 before TLS\n", r.BytesPerPush)
	fmt.Fprintf(w, "  requests a write   %12.1f\n", r.PushesPerWrite)
	l := r.Latency
	fmt.Fprintf(w, "  latency µs         p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f  (closed loop: %d are always waiting)\n",
		l.P50, l.P90, l.P99, l.P999, l.Max, r.InFlight)
	for why, n := range r.Refused {
		fmt.Fprintf(w, "  not accepted       %12d  %s\n", n, why)
	}
}
