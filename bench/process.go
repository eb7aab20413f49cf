package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc/PID/stat: USER_HZ, which is 100
// on every Linux port that Go has (proc(5)).
const clockTick = 10 * time.Millisecond

// process is one that the bench started and will stop.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
}

// start runs a command of ours and decodes the JSON that it announces itself
// with. Its log goes to dir.
func start(ctx context.Context, dir, bin, name string, announced any, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, args...) //nolint:gosec // our own binary
	cmd.Stderr = log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s: %w", name, err), log.Close())
	}
	p := &process{name: name, cmd: cmd, log: log}
	if announced != nil {
		if err := json.NewDecoder(out).Decode(announced); err != nil {
			return nil, errors.Join(fmt.Errorf("bench: %s did not say that it is ready (see %s): %w", name, log.Name(), err), p.stop())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
	return p, nil
}

// stop ends the process as Ctrl-C would.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	err := p.cmd.Wait()
	return errors.Join(err, p.log.Close())
}

// cpu is the process's CPU time, of all its threads.
func (p *process) cpu() (time.Duration, error) { return cpuOf(strconv.Itoa(p.cmd.Process.Pid)) }

func ownCPU() (time.Duration, error) { return cpuOf("self") }

func cpuOf(pid string) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: CPU times need Linux' /proc: %w", err)
	}
	// The name in parentheses may hold spaces; utime and stime are the 14th and
	// 15th fields of proc(5), the 12th and 13th after it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("bench: /proc/%s/stat is too short", pid)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// output runs a command to its end and returns what it printed.
func output(ctx context.Context, bin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, bin, args...) //nolint:gosec // our own binaries
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(bin), err, faults.Bytes())
	}
	return out, nil
}

// freePort finds a port for a command that cannot say which one it took.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// awaitPort waits until somebody listens.
func awaitPort(ctx context.Context, addr string) error {
	t := ticker(poll)
	defer t.Stop()
	for range int(startMost / poll) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return fmt.Errorf("bench: nobody listens at %s after %s", addr, startMost)
}

const startMost = 10 * time.Second // for a server to listen
