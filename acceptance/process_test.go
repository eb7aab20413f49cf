//go:build acceptance

package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	startLimit = 60 * time.Second // two busy cores, maybe -race
	stopLimit  = 20 * time.Second
)

// process is one that a test started and that ends with it.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // file with its stderr
	out   io.ReadCloser
	ended chan struct{}
	err   error // of Wait, once ended
}

// workDir is a directory of this test's own, which stays when the test fails.
func workDir(t *testing.T) string {
	t.Helper()
	base := filepath.Join(caches, "acceptance")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == '#' {
			return '-'
		}
		return r
	}, t.Name())
	dir, err := os.MkdirTemp(base, name+"-") //nolint:usetesting // it stays when the test fails
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("data and logs are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// start starts a command whose log goes to logFile. It is stopped, if it still
// runs, when the test ends.
func start(t *testing.T, logFile, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		t.Fatal(err)
	}
	p := &process{name: filepath.Base(name) + " " + strings.Join(args, " "), cmd: cmd, log: logFile, out: out, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.interrupt()
		if !p.waits(stopLimit) {
			p.kill()
			t.Errorf("%s did not end within %s of SIGINT; log %s", p.name, stopLimit, p.log)
		}
		_ = out.Close()
		if text, _ := os.ReadFile(logFile); race && bytes.Contains(text, []byte("DATA RACE")) {
			t.Errorf("%s has a data race; log %s", p.name, p.log)
		}
	})
	return p
}

// announced decodes what the process prints on stdout when it is started.
func (p *process) announced(t *testing.T, v any) {
	t.Helper()
	got := make(chan error, 1)
	go func() { got <- json.NewDecoder(p.out).Decode(v) }()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case err := <-got:
		if err != nil {
			p.waits(stopLimit)
			t.Fatalf("%s announced nothing (%v):\n%s", p.name, err, p.tail())
		}
	case <-limit.C:
		p.kill()
		<-got
		t.Fatalf("%s announced nothing within %s:\n%s", p.name, startLimit, p.tail())
	}
}

func (p *process) interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the process in order; it must say 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.interrupt(); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, p.tail())
	}
	if !p.waits(stopLimit) {
		p.kill()
		t.Fatalf("%s did not end within %s of SIGINT:\n%s", p.name, stopLimit, p.tail())
	}
	if p.err != nil {
		t.Fatalf("%s ended with %v:\n%s", p.name, p.err, p.tail())
	}
}

// waits tells whether the process ends within d.
func (p *process) waits(d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-p.ended:
		return true
	case <-limit.C:
		return false
	}
}

// tail is the end of the process's log.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	if len(b) > 4<<10 {
		b = b[len(b)-4<<10:]
	}
	return string(b)
}

// until asks until ok holds; when it does not within limit the test ends and
// tells what was waited for.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end.
func run(t *testing.T, limit time.Duration, name string, args ...string) result {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), limit)
	defer done()
	cmd := exec.CommandContext(ctx, name, args...)
	return finish(t, cmd)
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
}

// carillon runs a command of the binary, which must end well, and gives what it
// printed.
func carillon(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, startLimit, binary, args...)
	if r.code != 0 {
		t.Fatalf("carillon %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}
