package pebble_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"carillon"
	"carillon/store/pebble"
)

// TestExpiredBytesGo: what has expired is in no file of the store once its
// generation is dropped, the logs that it came in by included; what lives is
// there, and there again after another start.
func TestExpiredBytesGo(t *testing.T) {
	dir := t.TempDir()
	clock := &carillon.Clock{}
	cfg := pebble.Config{Dir: dir, Generation: time.Minute}
	s := open(t, cfg, clock)
	u := carillon.User{Host: "app.example.com", ID: "dev.alice"}
	const short, long = "planted-short-life-Zq8", "planted-long-life-Wx5"
	now := clock.UnixMilli()
	put := func(seq carillon.Seq, body string, life time.Duration) {
		t.Helper()
		it := &carillon.Item{Created: seq, Content: seq, Feed: seq, Accepted: now, Expires: now + life.Milliseconds(), Body: []byte(body)}
		if err := s.Write(&carillon.Rows{Items: []carillon.ItemRow{{User: u, Item: it}}}, true); err != nil {
			t.Fatal(err)
		}
	}
	put(carillon.MakeSeq(1, 1), short, time.Minute)
	put(carillon.MakeSeq(1, 2), long, time.Hour)
	if !inFiles(t, dir, short) {
		t.Fatal("the log does not hold what was written: the test looks in the wrong place")
	}
	clock.Move(3 * time.Minute)
	if err := s.Expire(clock.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	gone(t, dir, short)
	put(carillon.MakeSeq(1, 3), long, time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg, clock)
	for _, seq := range []carillon.Seq{carillon.MakeSeq(1, 2), carillon.MakeSeq(1, 3)} {
		if it, err := s.Item(u, seq); err != nil || it == nil || string(it.Body) != long {
			t.Errorf("after another start: %+v, %v", it, err)
		}
	}
}

func inFiles(t *testing.T, dir, text string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}

// gone waits until no file holds a text: tables that nobody needs any more are
// removed in the background.
func gone(t *testing.T, dir, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); inFiles(t, dir, text); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("a file holds %q", text)
		}
	}
}
