//go:build acceptance

package acceptance_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemo is `make demo`: three devices ring and the exit code says so.
func TestDemo(t *testing.T) {
	begin := time.Now()
	r := run(t, startLimit, binary, "demo", "--ephemeral", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0")
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, want := range []string{
		"accepted", "journalled", "planned", "windows  Dinner", "ios      Dinner", "android  Dinner",
		"Then it is dismissed on the android device", "windows  is clear", "ios      is clear",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("it does not show %q:\n%s", want, r.stdout)
		}
	}
	t.Logf("took %v", time.Since(begin).Round(time.Millisecond))
}

// TestDemoStays is `make run`: it serves on, and is found again after a kill.
func TestDemoStays(t *testing.T) {
	dir := workDir(t)
	for _, before := range []string{"", "Found 1 notification(s)", "Found 2 notification(s)"} {
		begin := time.Now()
		p := start(t, filepath.Join(dir, "demo.log"), binary, "demo", "--stay", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0")
		text := p.readsUntil(t, "\nready http")
		t.Logf("ready after %v", time.Since(begin).Round(time.Millisecond))
		for _, want := range []string{before, "curl -H", "carillon why", "kill -9"} {
			if !strings.Contains(text, want) {
				t.Errorf("it does not say %q:\n%s", want, text)
			}
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		last := lines[len(lines)-1]
		if _, url, ok := strings.Cut(last, "ready "); !ok || !strings.HasPrefix(last, "ready http") {
			t.Errorf("the last line is %q", last)
		} else {
			fetch(t, client(t), url+"/beta/me/notifications", "", "GET", nil).refuses(t, 401)
		}
		p.kill()
	}
}

// readsUntil reads stdout to the end of the line that holds mark.
func (p *process) readsUntil(t *testing.T, mark string) string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		var text strings.Builder
		b := make([]byte, 4<<10)
		for {
			n, err := p.out.Read(b)
			text.Write(b[:n])
			s := text.String()
			if i := strings.Index(s, mark); i >= 0 && strings.Contains(s[i+len(mark):], "\n") || err != nil {
				got <- s
				return
			}
		}
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case s := <-got:
		if !strings.Contains(s, mark) {
			t.Fatalf("%s never said %q:\n%s%s", p.name, mark, s, p.tail())
		}
		return s
	case <-limit.C:
		p.kill()
		t.Fatalf("%s did not say %q within %s:\n%s%s", p.name, mark, startLimit, <-got, p.tail())
	}
	return ""
}
