//go:build acceptance

package acceptance_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	soakUsers = 500
	soakLines = 50
	soakPause = 50 * time.Millisecond
	soakLife  = 4 * time.Second // of a notification
)

// TestSoak sends for CARILLON_SOAK (60s) notifications that live for seconds, in
// a store that drops what expired every two: what the process holds in its second
// half, of disk, heap, goroutines and file handles, does not grow.
func TestSoak(t *testing.T) {
	length := duration(t, "CARILLON_SOAK", time.Minute)
	dir := workDir(t)
	box := startSandbox(t, dir)
	config := box.config(t, dir)
	extend(t, config, "store: {generation: 2s, memtableBytes: 4194304}\nembedded: {segmentBytes: 1048576}\n")
	g := serve(t, filepath.Join(dir, "data"), "--config", config)
	b := &bulks{flood: &flood{t: t, http: client(t), token: g.app}}
	b.url.Store(&g.url)
	user := func(i int) string { return fmt.Sprintf("dev.soak-%d", i) }
	b.register(soakUsers, user)

	var samples []sample
	sent, next := 0, time.Now()
	tick := time.NewTicker(soakPause)
	defer tick.Stop()
	for end := next.Add(length); time.Now().Before(end); <-tick.C {
		var body bytes.Buffer
		expires := time.Now().Add(soakLife).UTC().Format(time.RFC3339Nano)
		for range soakLines {
			fmt.Fprintf(&body, `{"targetHostName":%q,"userId":%q,"expirationDateTime":%q,"payload":{"visualContent":{"title":"number %d"}}}`+"\n",
				host, user(sent%soakUsers), expires, sent)
			sent++
		}
		if status, answer := b.ask("POST", "/api/v1/notifications", body.Bytes(), "Content-Type", "application/x-ndjson"); status != 200 {
			t.Fatalf("sending: %d %s", status, answer)
		}
		if time.Now().After(next) {
			next = next.Add(time.Second)
			samples = append(samples, g.sample(t))
		}
	}
	if len(samples) < 8 {
		t.Fatalf("%d samples in %v say nothing", len(samples), length)
	}
	half, quarter := len(samples)/2, len(samples)/4
	for _, m := range []struct {
		name  string
		of    func(sample) int64
		slack int64 // beside a fifth
	}{
		{"disk bytes", func(s sample) int64 { return s.disk }, 8 << 20},
		{"heap bytes", func(s sample) int64 { return s.heap }, 16 << 20},
		{"goroutines", func(s sample) int64 { return s.goroutines }, 10},
		{"file handles", func(s sample) int64 { return s.handles }, 10},
	} {
		before, after := median(samples[half:half+quarter], m.of), median(samples[half+quarter:], m.of)
		t.Logf("%-12s %d in the third quarter, %d in the last", m.name, before, after)
		if after > before+before/5+m.slack {
			t.Errorf("%s grow from %d to %d", m.name, before, after)
		}
	}
	t.Logf("%d notifications in %v", sent, length)
	until(t, startLimit, "nothing is left of what expired", func() bool {
		a := g.audit(t)
		return a.Closed && a.Items+a.Unsettled+a.Due+a.Parked == 0
	})
	g.stop(t)
}

// sample is what a process holds.
type sample struct{ disk, heap, goroutines, handles int64 }

func (s *site) sample(t *testing.T) (out sample) {
	t.Helper()
	_ = filepath.WalkDir(s.data, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil { // else it is gone
				out.disk += info.Size()
			}
		}
		return nil
	})
	fetch(t, s.http, s.ops+"/debug/pprof/heap?gc=1", "", "GET", nil).want(t, 200) // what is garbage does not count
	text := string(fetch(t, s.http, s.ops+"/metrics", "", "GET", nil).want(t, 200).text)
	for name, into := range map[string]*int64{
		"go_memstats_heap_inuse_bytes": &out.heap, "go_goroutines": &out.goroutines,
	} {
		_, rest, ok := strings.Cut(text, "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			t.Fatalf("/metrics has no %s", name)
		}
		*into = int64(n)
	}
	handles, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("file handles are counted in Linux' /proc: %v", err)
	}
	out.handles = int64(len(handles))
	return out
}

func median(samples []sample, of func(sample) int64) int64 {
	var all []int64
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
