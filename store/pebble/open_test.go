package pebble_test

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"carillon"
	"carillon/store/pebble"
)

// refused opens a store that should not open, and holds its error to one line
// that names the directory and holds each of wants.
func refused(t *testing.T, cfg pebble.Config, disk vfs.FS, wants ...string) {
	t.Helper()
	s, err := pebble.OpenFS(cfg, disk, &carillon.Clock{}, slog.New(slog.DiscardHandler))
	if err == nil {
		s.Close()
		t.Fatal("it opened")
	}
	if msg := err.Error(); strings.Contains(msg, "\n") || !strings.Contains(msg, cfg.Dir) {
		t.Errorf("not one line with the directory: %q", msg)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// made is a directory with a store that was used and closed.
func made(t *testing.T, cfg pebble.Config) {
	t.Helper()
	s, err := pebble.Open(cfg, &carillon.Clock{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(&carillon.Rows{Positions: []carillon.Progress{{Partition: 1, Applied: 7}}}, true); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	cfg := pebble.Config{Dir: t.TempDir()}
	open(t, cfg, &carillon.Clock{})
	refused(t, cfg, vfs.Default, "in use by another carillon process")
}

// TestOpenTwiceInTwoProcesses starts this test again as the second process.
func TestOpenTwiceInTwoProcesses(t *testing.T) {
	if dir := os.Getenv("STORE_DIR"); dir != "" {
		refused(t, pebble.Config{Dir: dir}, vfs.Default, "in use by another carillon process", "stop it")
		return
	}
	cfg := pebble.Config{Dir: t.TempDir()}
	open(t, cfg, &carillon.Clock{})
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORE_DIR="+cfg.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOpenNewerFormat(t *testing.T) {
	cfg := pebble.Config{Dir: t.TempDir()}
	made(t, cfg)
	if err := os.WriteFile(filepath.Join(cfg.Dir, "FORMAT"), []byte("carillon-store 2 whatever comes then\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, vfs.Default, "newer format 2", "start the newer version")
}

func TestOpenTornFormat(t *testing.T) {
	for _, torn := range []string{"", "carillon-store", "carillon-store 1", "carillon-store 1 generation=648", "carillon-store 1 generation=648000000ms"} {
		cfg := pebble.Config{Dir: t.TempDir()}
		made(t, cfg)
		if err := os.WriteFile(filepath.Join(cfg.Dir, "FORMAT"), []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, cfg, vfs.Default, "damaged", "restore the last backup")
	}
}

func TestOpenTornFiles(t *testing.T) {
	for _, kind := range []string{"MANIFEST-*", "marker.manifest.*", "*.sst"} {
		cfg := pebble.Config{Dir: t.TempDir()}
		made(t, cfg)
		made(t, cfg) // the second start sorts to disk what the first logged
		files, err := filepath.Glob(filepath.Join(cfg.Dir, kind))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", kind, files, err)
		}
		for _, f := range files {
			if strings.HasPrefix(kind, "marker") {
				err = os.Rename(f, filepath.Join(cfg.Dir, "marker.manifest.000009.MANIFEST-999999"))
			} else {
				err = os.WriteFile(f, []byte("garbage that no table begins with"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		refused(t, cfg, vfs.Default, "damaged", "restore the last backup")
	}
}

func TestOpenForeignDirectory(t *testing.T) {
	cfg := pebble.Config{Dir: t.TempDir()}
	holiday := filepath.Join(cfg.Dir, "holiday.jpg")
	if err := os.WriteFile(holiday, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, vfs.Default, "holiday.jpg", "choose an empty data directory")
}

func TestOpenOnAFile(t *testing.T) {
	cfg := pebble.Config{Dir: filepath.Join(t.TempDir(), "file")}
	if err := os.WriteFile(cfg.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, vfs.Default, "not a file")
}

// readOnly refuses what writes, as a directory does that is not ours.
type readOnly struct{ vfs.FS }

func (readOnly) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrPermission}
}

func (readOnly) Lock(name string) (io.Closer, error) {
	return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrPermission}
}

func TestOpenReadOnlyDirectory(t *testing.T) {
	refused(t, pebble.Config{Dir: t.TempDir()}, readOnly{vfs.Default}, "permission denied", "make the directory writable")
}

func TestOpenOtherGeneration(t *testing.T) {
	cfg := pebble.Config{Dir: t.TempDir(), Generation: time.Hour}
	made(t, cfg)
	cfg.Generation = time.Minute
	refused(t, cfg, vfs.Default, "generation 1h0m0s", "choose another data directory")
	cfg.Generation = 0 // as it was made
	made(t, cfg)
}

func TestOpenConfig(t *testing.T) {
	for _, cfg := range []pebble.Config{{}, {Dir: "x", Generation: time.Microsecond}} {
		if _, err := pebble.OpenFS(cfg, vfs.NewMem(), &carillon.Clock{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%+v opened", cfg)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s := open(t, pebble.Config{}, &carillon.Clock{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(&carillon.Rows{}, true); err == nil {
		t.Error("a closed store took a write")
	}
	if _, err := s.Item(carillon.User{}, 1); err == nil {
		t.Error("a closed store was read")
	}
	if s.Stats() != (pebble.Stats{}) {
		t.Error("a closed store has stats")
	}
}
