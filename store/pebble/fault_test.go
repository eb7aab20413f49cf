package pebble_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"carillon"
	"carillon/store/pebble"
)

// breaking is a disk whose files with a name of that kind take no writes once
// it is broken.
func breaking(kind string) (disk vfs.FS, broken *atomic.Bool) {
	broken = &atomic.Bool{}
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, kind) {
			return errors.New("no space left on device")
		}
		return nil
	})), broken
}

// failing runs a store whose disk breaks, does what makes it notice, and wants
// one line from Run and from every call.
func failing(t *testing.T, kind string, notice func(s *pebble.Store)) {
	t.Helper()
	disk, broken := breaking(kind)
	s, err := pebble.OpenFS(pebble.Config{Dir: "store"}, disk, &carillon.Clock{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	if err := s.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 1, Applied: 7}}}, true); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	notice(s)
	select {
	case err = <-ran:
	case <-time.After(20 * time.Second):
		t.Fatal("Run goes on")
	}
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "store can take no more writes") {
		t.Errorf("Run ended with %v", err)
	}
	if err := s.Write(&carillon.Rows{}, true); err == nil {
		t.Error("a write went well")
	}
	if _, err := s.Progress(1); err == nil {
		t.Error("a read went well")
	}
	if err := s.Close(); err == nil {
		t.Error("closing went well")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestLogFault(t *testing.T) {
	failing(t, ".log", func(s *pebble.Store) {
		if err := s.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 1, Applied: 8}}}, true); err == nil {
			t.Error("the write was called durable")
		}
	})
}

// TestManifestFault runs in a process of its own: pebble's goroutines do not all
// end when one of them meets a fault.
func TestManifestFault(t *testing.T) {
	if os.Getenv("STORE_FAULT") != "" {
		failing(t, "MANIFEST", func(s *pebble.Store) {
			if err := s.SortAway(); err != nil {
				t.Error(err)
			}
		})
		if !t.Failed() {
			os.Exit(0)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORE_FAULT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFullDisk: what cannot be sorted to disk now is tried again, and nothing is
// lost.
func TestFullDisk(t *testing.T) {
	disk, broken := breaking(".sst")
	clock := &carillon.Clock{}
	s := openFS(t, pebble.Config{Dir: "store"}, disk, clock)
	progress := &carillon.Rows{Positions: []carillon.Progress{{Partition: 1, Applied: 7}}}
	broken.Store(true)
	if err := s.Write(progress, true); err != nil {
		t.Fatal(err)
	}
	if err := s.SortAway(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(progress, true); err != nil {
		t.Errorf("the log has room: %v", err)
	}
	broken.Store(false)
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := open(t, pebble.Config{}, &carillon.Clock{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}
