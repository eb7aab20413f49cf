package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	pushyWarmup = 1_000_000 // its JIT has settled by then (see docs/benchmarks.md)
	h2loadURIs  = 8192      // used in turn; more would only make its start longer
)

// ourTool is `carillon bench push`.
type ourTool struct {
	h  *H2
	to target
}

func (t *ourTool) name() string { return toolCarillon }
func (t *ourTool) stop() error  { return nil }

func (t *ourTool) turn(ctx context.Context) (Turn, error) {
	out, err := output(ctx, t.h.Bin, "bench", "push", "--provider", "apns", "--target", t.to.url, "--ca", t.to.ca,
		"-n", strconv.Itoa(t.h.Pushes), "-c", strconv.Itoa(t.h.InFlight), "--connections", strconv.Itoa(t.h.Connections),
		"--size", strconv.Itoa(t.h.Body), "--json")
	if err != nil {
		return Turn{}, err
	}
	var r PushResult
	if err := json.Unmarshal(out, &r); err != nil {
		return Turn{}, fmt.Errorf("answered %q: %w", out, err)
	}
	return Turn{
		Pushes: r.Pushes, Failed: r.Pushes - r.Accepted, Seconds: r.Seconds, CPUMicros: r.CPUMicros,
		Latency: &r.Latency, BytesPerPush: r.BytesPerPush,
	}, nil
}

// goTool is a client of bench/peers.
type goTool struct {
	h            *H2
	to           target
	tool, client string
}

func (t *goTool) name() string { return t.tool }
func (t *goTool) stop() error  { return nil }

func (t *goTool) turn(ctx context.Context) (Turn, error) {
	out, err := output(ctx, t.h.Peers, "-client", t.client, "-host", t.to.url, "-ca", t.to.ca,
		"-key", t.to.keyFile, "-key-id", t.to.keyID, "-team", t.to.team, "-size", strconv.Itoa(t.h.Body),
		"-n", strconv.Itoa(max(t.h.Pushes/5, 1000)), "-warmup", strconv.Itoa(max(t.h.Pushes/30, 1000)),
		"-c", strconv.Itoa(t.h.InFlight), "-connections", strconv.Itoa(t.h.Connections))
	if err != nil {
		return Turn{}, err
	}
	return peerTurn(out)
}

// peerTurn reads what a peer of bench/peers prints.
func peerTurn(out []byte) (Turn, error) {
	var r PeerRound
	if err := json.Unmarshal(out, &r); err != nil {
		return Turn{}, fmt.Errorf("answered %q: %w", out, err)
	}
	return Turn{Pushes: r.Pushes, Failed: r.Failed, Seconds: r.Seconds, CPUMicros: r.CPUMicros}, nil
}

// pushyTool is a JVM that stays warm and takes its turns from standard input.
type pushyTool struct {
	h   *H2
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log *os.File
}

func startPushy(ctx context.Context, h *H2, to target) (*pushyTool, error) {
	log, err := os.Create(filepath.Join(h.Dir, "pushy.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "java", "-cp", h.Pushy, "PushyLoop", //nolint:gosec // a class path of our own Makefile
		"--host="+to.host, "--port="+to.port, "--ca="+to.ca, "--key="+to.keyFile, "--key-id="+to.keyID, "--team="+to.team,
		"--connections="+strconv.Itoa(h.Connections), "--c="+strconv.Itoa(h.InFlight), "--size="+strconv.Itoa(h.Body),
		"--warmup="+strconv.Itoa(pushyWarmup))
	cmd.Stderr = log
	p := &pushyTool{h: h, cmd: cmd, log: log}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: java: %w", err), log.Close())
	}
	p.in, p.out = in, bufio.NewReader(out)
	var ready struct {
		Failed int64  `json:"failed"`
		Native bool   `json:"native"`
		Java   string `json:"java"`
	}
	if err := p.answer(&ready); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: Pushy did not get ready (see %s): %w", log.Name(), err), p.stop())
	}
	h.say("Pushy is warm: Java %s, native TLS %v, %d of its pushes failed", ready.Java, ready.Native, ready.Failed)
	return p, nil
}

func (p *pushyTool) answer(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func (p *pushyTool) name() string { return toolPushy }

func (p *pushyTool) turn(context.Context) (Turn, error) {
	if _, err := fmt.Fprintln(p.in, max(p.h.Pushes*2/3, 1000)); err != nil {
		return Turn{}, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return Turn{}, err
	}
	return peerTurn(line)
}

func (p *pushyTool) stop() error {
	err := p.in.Close() // the loop ends with its input
	return errors.Join(err, p.cmd.Wait(), p.log.Close())
}

// h2loadTool is nghttp2's load generator. It sends the same header fields, but
// it has one value for all requests for each of them: of a push's distinct
// fields only :path differs.
type h2loadTool struct {
	h          *H2
	to         target
	uris, body string
}

func newH2load(h *H2, to target) (*h2loadTool, error) {
	uris, err := uriFile(h.Dir, to.url)
	if err != nil {
		return nil, err
	}
	body := filepath.Join(h.Dir, "body")
	return &h2loadTool{h: h, to: to, uris: uris, body: body}, os.WriteFile(body, bytes.Repeat([]byte("x"), h.Body), 0o600)
}

func (t *h2loadTool) name() string { return toolH2load }
func (t *h2loadTool) stop() error  { return nil }

// turn takes off what a run of one request a connection costs: the start of the
// process, its file of addresses and the handshakes.
func (t *h2loadTool) turn(ctx context.Context) (Turn, error) {
	idle, err := t.run(ctx, t.h.Connections)
	if err != nil {
		return Turn{}, err
	}
	all, err := t.run(ctx, t.h.Pushes)
	if err != nil {
		return Turn{}, err
	}
	n := all.pushes - idle.pushes
	return Turn{
		Pushes: n, Failed: all.failed, Seconds: (all.took - idle.took).Seconds(),
		CPUMicros: float64((all.cpu - idle.cpu).Nanoseconds()) / float64(n) / 1e3,
	}, nil
}

// h2loadRun is one run of it.
type h2loadRun struct {
	pushes, failed int64
	took, cpu      time.Duration
}

func (t *h2loadTool) run(ctx context.Context, n int) (h2loadRun, error) {
	const id = "00000000-0000-4000-8000-000000000001"
	cmd := exec.CommandContext(ctx, t.h.H2load, "-n", strconv.Itoa(n), "-t", "1", //nolint:gosec // the operator's choice
		"-c", strconv.Itoa(t.h.Connections), "-m", strconv.Itoa(max(t.h.InFlight/t.h.Connections, 1)), "-d", t.body, "-i", t.uris,
		"-H", "authorization: bearer "+strings.Repeat("x", 180), "-H", "apns-topic: "+bundle, "-H", "apns-push-type: alert",
		"-H", "apns-priority: 10", "-H", "apns-id: "+id, "-H", "apns-expiration: 1790000000", "-H", "apns-collapse-id: "+id)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return h2loadRun{}, fmt.Errorf("%w: %s", err, out)
	}
	run, err := parseH2load(out)
	run.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return run, err
}

var (
	h2loadTook     = regexp.MustCompile(`(?m)^finished in ([0-9.]+(?:us|ms|s|m|h)),`)
	h2loadRequests = regexp.MustCompile(`(?m)^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded`)
)

// parseH2load reads h2load's summary.
func parseH2load(out []byte) (run h2loadRun, err error) {
	took, requests := h2loadTook.FindSubmatch(out), h2loadRequests.FindSubmatch(out)
	if took == nil || requests == nil {
		return run, fmt.Errorf("h2load printed no summary: %.500s", out)
	}
	var errs [3]error
	var good int64
	run.took, errs[0] = time.ParseDuration(string(took[1]))
	run.pushes, errs[1] = strconv.ParseInt(string(requests[1]), 10, 64)
	good, errs[2] = strconv.ParseInt(string(requests[2]), 10, 64)
	run.failed = run.pushes - good
	return run, errors.Join(errs[:]...)
}
