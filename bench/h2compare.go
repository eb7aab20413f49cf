package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"carillon"
)

// H2 compares `carillon bench push` with other clients on one server in one
// run: the tools take turns, ten rounds by default, and every round is kept.
type H2 struct {
	// Bin is the carillon binary, Peers that of bench/peers.
	Bin, Peers string
	// Pushy is the class path of bench/peers/pushy, H2load the command; "" leaves
	// the tool out.
	Pushy, H2load string
	// Nghttpd, when set, is the command of the server to push to, in place of
	// the fast sandbox.
	Nghttpd string
	// Dir is where processes keep data and logs.
	Dir string
	// Rounds, and the pushes a round of the quick tools; the others send a part
	// of it, so that a turn of each takes about as long.
	Rounds, Pushes int
	// InFlight pushes without an answer, over so many Connections, with payloads
	// of Body bytes: the same for all.
	InFlight, Connections, Body int
	// Progress is told what is being done; may be nil.
	Progress io.Writer
}

// Turn is what one tool did in one round.
type Turn struct {
	Round     int     `json:"round"`
	Tool      string  `json:"tool"`
	Pushes    int64   `json:"pushes"`
	Failed    int64   `json:"failed"`
	Seconds   float64 `json:"seconds"`
	CPUMicros float64 `json:"cpuMicrosPerPush"`
	// Latency and BytesPerPush are known of our own pushes only.
	Latency      *Latency `json:"latency,omitempty"`
	BytesPerPush float64  `json:"bytesPerPush,omitempty"`
}

// PerSecond is the turn's rate.
func (t Turn) PerSecond() float64 { return float64(t.Pushes) / t.Seconds }

// The tools, by the names that reports give them.
const (
	toolCarillon  = "carillon"
	toolH2load    = "h2load"
	toolPushy     = "pushy"
	toolTransport = "http2.Transport"
	toolAPNs2     = "apns2"
)

// contestant is one tool that takes turns.
type contestant interface {
	name() string
	turn(ctx context.Context) (Turn, error)
	stop() error
}

// target is the server that all push to.
type target struct {
	url, host, port, ca string
	keyFile, keyID      string
	team                string
}

// Run plays all rounds. The order of the turns moves on with every round, so
// that no tool always follows the same other.
func (h *H2) Run(ctx context.Context) (turns []Turn, err error) {
	box := sandboxInfo{}
	h.say("starting the sandbox vendors")
	sandbox, err := start(ctx, h.Dir, h.Bin, "sandbox", &box,
		"sandbox", "--fast", "--json", "--dir", filepath.Join(h.Dir, "vendors"), "--ops", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sandbox.stop()) }()
	to, err := targetOf(box)
	if err != nil {
		return nil, err
	}
	if h.Nghttpd != "" {
		server, err := h.startNghttpd(ctx, &to)
		if err != nil {
			return nil, err
		}
		defer func() { _ = server.stop() }() // it ends by the signal
	}
	tools, err := h.tools(ctx, to)
	defer func() {
		for _, c := range tools {
			err = errors.Join(err, c.stop())
		}
	}()
	if err != nil {
		return nil, err
	}
	for round := range h.Rounds {
		h.say("round %d of %d", round+1, h.Rounds)
		for i := range tools {
			c := tools[(i+round)%len(tools)]
			t, err := c.turn(ctx)
			if err != nil {
				return turns, fmt.Errorf("bench: round %d, %s: %w; logs are in %s", round+1, c.name(), err, h.Dir)
			}
			if t.Failed > 0 && h.Nghttpd == "" {
				return turns, fmt.Errorf("bench: round %d, %s: %d of %d pushes failed: that is no comparison", round+1, c.name(), t.Failed, t.Pushes)
			}
			t.Round, t.Tool = round+1, c.name()
			turns = append(turns, t)
		}
	}
	return turns, nil
}

func (h *H2) say(format string, args ...any) {
	if h.Progress != nil {
		fmt.Fprintf(h.Progress, "==> "+format+"\n", args...)
	}
}

// tools prepares the contestants. What it returns beside an error is to be
// stopped too.
func (h *H2) tools(ctx context.Context, to target) (tools []contestant, err error) {
	ours := &ourTool{h, to}
	tools = append(tools, ours)
	if h.H2load != "" {
		c, err := newH2load(h, to)
		if err != nil {
			return tools, err
		}
		tools = append(tools, c)
	}
	if h.Pushy != "" {
		h.say("warming Pushy up with %d pushes", pushyWarmup)
		c, err := startPushy(ctx, h, to)
		if err != nil {
			return tools, err
		}
		tools = append(tools, c)
	}
	if h.Peers != "" {
		tools = append(tools, &goTool{h, to, toolTransport, "http2"})
		if h.Nghttpd == "" { // apns2 takes an answer that is not JSON for a fault
			tools = append(tools, &goTool{h, to, toolAPNs2, "apns2"})
		}
	}
	return tools, nil
}

// startNghttpd points to to an nghttpd that has a file for the first device only.
// That 200 warms our connection, which would carry one push at a time without;
// the 404 to all others is an answer like any other here: what counts is the way
// there and back.
func (h *H2) startNghttpd(ctx context.Context, to *target) (*process, error) {
	h.say("starting nghttpd")
	certs := filepath.Join(h.Dir, "certs")
	if _, err := output(ctx, h.Bin, "dev-cert", "--dir", certs); err != nil {
		return nil, err
	}
	files := filepath.Join(h.Dir, "htdocs")
	first := filepath.Join(files, "3", "device", addressesOf(carillon.IOS, 1)[0])
	if err := errors.Join(os.MkdirAll(filepath.Dir(first), 0o700), os.WriteFile(first, nil, 0o600)); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	to.port, to.url, to.ca = port, "https://"+to.host+":"+port, filepath.Join(certs, "ca.pem")
	server, err := start(ctx, h.Dir, h.Nghttpd, "nghttpd", nil, "--max-concurrent-streams=1000",
		"--htdocs="+files, "--address="+to.host, port, filepath.Join(certs, "key.pem"), filepath.Join(certs, "cert.pem"))
	if err != nil {
		return nil, err
	}
	return server, awaitPort(ctx, to.host+":"+port)
}

// targetOf is the sandbox's APNs.
func targetOf(box sandboxInfo) (target, error) {
	host, port, err := net.SplitHostPort(box.Addrs.APNs)
	c := box.Credentials.APNs
	return target{
		url: "https://" + box.Addrs.APNs, host: host, port: port, ca: box.CAFile, keyFile: c.KeyFile, keyID: c.KeyID, team: c.TeamID,
	}, err
}

// uriFile writes the addresses that h2load uses in turn.
func uriFile(dir, url string) (string, error) {
	file := filepath.Join(dir, "uris")
	var b []byte
	for i := range uint64(h2loadURIs) {
		b = fmt.Appendf(b, "%s/3/device/%032x%032x\n", url, i*0x9e3779b97f4a7c15, i+1)
	}
	return file, os.WriteFile(file, b, 0o600)
}
