//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	smallDisk = 192 << 20
	leastFree = 48 << 20 // store.minFreeBytes
)

// small is a directory on a disk of its own, of some 200 MiB.
func small(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("CARILLON_SMALL_DISK"); dir != "" {
		dir = filepath.Join(dir, "carillon-acceptance")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	dir := filepath.Join(workDir(t), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", smallDisk), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("no small disk can be mounted (%v: %s): run as root, or name an empty directory on a disk of about 200 MiB in CARILLON_SMALL_DISK", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fill leaves so much of the disk free, and gives what frees it again.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for left := available(t, dir) - leave; left > 0; left -= int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			break // it is full
		}
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// available asks df(1) for the bytes that are free.
func available(t *testing.T, dir string) int64 {
	t.Helper()
	out, err := exec.Command("df", "-Pk", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	kib, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		t.Fatalf("df says %s", out)
	}
	return kib << 10
}

// last is the last line of the process's log.
func (p *process) last() string {
	lines := strings.Split(strings.TrimSpace(p.tail()), "\n")
	return lines[len(lines)-1]
}

// TestFullDisk fills the disk under a running gateway, twice. While little is
// left it refuses with words, and takes notifications again, by itself, when
// there is room. When another program takes the very last byte the store may end
// the process, which says so; after a start with room nothing that was accepted
// is missing.
func TestFullDisk(t *testing.T) {
	t.Run("with room left", func(t *testing.T) { fullDisk(t, leastFree) })
	t.Run("to the last byte", func(t *testing.T) { fullDisk(t, 1) })
}

func fullDisk(t *testing.T, least int64) {
	disk, dir := small(t), workDir(t)
	box := startSandbox(t, dir)
	config := box.config(t, dir)
	extend(t, config, fmt.Sprintf("store: {minFreeBytes: %d}\n", least))
	g := serve(t, filepath.Join(disk, "data"), "--config", config)
	p := g.person(t, "full")
	p.register(t, "ios", "")
	var accepted []string
	send := func() *reply {
		r := p.post(t, raw(strings.Repeat("x", 3000)))
		if r.status == 201 {
			accepted = append(accepted, r.str("id"))
		}
		return r
	}
	for range 50 {
		send().want(t, 201)
	}
	for range 2 {
		if least == 1 {
			break // nothing is refused before it fails
		}
		room := fill(t, disk, least/2)
		var r *reply
		until(t, ringLimit, "sends are refused", func() bool { r = send(); return r.status != 201 })
		r.refuses(t, 503, "disk", "almost full", "nothing was accepted", "minFreeBytes")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		g.call(t, p.token, "GET", "/beta/me/notifications", nil).want(t, 200) // reading goes on
		if text := fetch(t, g.http, g.ops+"/readyz", "", "GET", nil).want(t, 503).text; !strings.Contains(string(text), "disk") {
			t.Errorf("/readyz says %s", text)
		}
		room()
		until(t, ringLimit, "sends are accepted again", func() bool { return send().status == 201 })
	}

	// The last byte, at once and while it writes.
	f := &flood{t: t, http: client(t), token: p.token}
	f.url.Store(&g.url)
	room := fill(t, disk, 0)
	for range 2000 {
		status, answer := f.ask("POST", "/beta/me/notifications", fmt.Appendf(nil, `{"targetHostName":%q,"payload":{"rawContent":%q}}`, host, strings.Repeat("y", 3000)))
		if status == 0 { // it ended
			break
		}
		if status == 201 {
			var n struct{ ID string }
			if err := json.Unmarshal(answer, &n); err != nil {
				t.Fatal(err)
			}
			accepted = append(accepted, n.ID)
		} else if status != 503 {
			t.Fatalf("on a full disk: %d %s", status, answer)
		}
	}
	if g.waits(2 * time.Second) {
		t.Logf("the gateway ended: %v: %s", g.err, g.last())
		if !strings.Contains(g.tail(), "store can take no more writes") && !strings.Contains(g.tail(), "no space left") {
			t.Errorf("it does not say why:\n%s", g.tail())
		}
		room()
		g = serve(t, g.data, "--config", config)
		p.s = g
	} else {
		room()
	}
	until(t, startLimit, "sends are accepted again", func() bool { return send().status == 201 })
	var a audited // what was answered 503 as unknown may be there too
	until(t, startLimit, "everything is settled", func() bool {
		a = g.audit(t)
		return a.Unsettled+a.Due+a.Parked == 0 && a.Items >= int64(len(accepted))
	})
	if !a.Closed || a.Deliveries["accepted"] < int64(len(accepted)) {
		t.Errorf("the audit of %d accepted: %+v", len(accepted), a)
	}
	for _, id := range accepted {
		g.call(t, p.token, "GET", "/beta/me/notifications/"+id, nil).want(t, 200)
	}
	t.Logf("%d accepted, all are there", len(accepted))
	g.stop(t)
}
