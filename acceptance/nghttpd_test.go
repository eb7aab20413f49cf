//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestNghttpd pushes to nghttp2's server, HTTP/2 as people wrote it who know
// nothing of us, with the settings that are hard on a client: one stream, no header
// table, tiny windows, padding, trailers, answers that come before the request
// has ended. Every push is answered, on one connection.
func TestNghttpd(t *testing.T) {
	if _, err := exec.LookPath("nghttpd"); err != nil {
		t.Fatal("nghttpd is missing: scripts/need.sh nghttpd")
	}
	dir := workDir(t)
	certs := filepath.Join(dir, "certs")
	command(t, binary, "dev-cert", "--dir", certs)
	for _, tc := range []struct {
		name   string
		pushes int
		args   []string
	}{
		{"defaults", 10_000, nil},
		{"one stream", 500, []string{"-m", "1"}},
		{"no header table", 5000, []string{"-c", "0", "--encoder-header-table-size=0"}},
		{"tiny windows", 2000, []string{"-w", "5", "-W", "16"}},
		{"padding", 5000, []string{"-b", "255"}},
		{"trailers", 5000, []string{"--trailer", "grpc-status: 0"}},
		{"early answers", 5000, []string{"--early-response"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			port := freePort(t)
			args := append([]string{"-d", dir, "--echo-upload"}, tc.args...)
			server := start(t, filepath.Join(dir, "nghttpd.log"), "nghttpd", append(args, port, filepath.Join(certs, "key.pem"), filepath.Join(certs, "cert.pem"))...)
			listening(t, server, port)
			out := command(t, binary, "bench", "push", "--provider", "apns", "--target", "https://127.0.0.1:"+port,
				"--ca", filepath.Join(certs, "ca.pem"), "--n", strconv.Itoa(tc.pushes), "--warmup", "10", "--c", "200", "--json")
			var got struct {
				Pushes, Accepted, Opened int
				PerSecond                float64
				Refused                  map[string]int
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d of %d accepted, %.0f a second", got.Accepted, got.Pushes, got.PerSecond)
			if got.Accepted != tc.pushes || got.Opened != 1 || len(got.Refused) > 0 {
				t.Errorf("%+v", got)
			}
			server.kill()
		})
	}
}

// command runs a command to its end and returns what it printed.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return out
}

// freePort is a port that nobody listens on, for servers that cannot choose one.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// listening waits until the process takes connections.
func listening(t *testing.T, p *process, port string) {
	t.Helper()
	deadline := time.Now().Add(startLimit)
	for time.Now().Before(deadline) {
		nc, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			nc.Close()
			return
		}
		if p.waits(50 * time.Millisecond) {
			t.Fatalf("%s has ended: %s", p.name, p.tail())
		}
	}
	t.Fatal("it does not listen")
}
