//go:build acceptance

package acceptance_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const refusalLimit = 60 * time.Second

// refuses starts `carillon serve`, which must end with exit code 1 and one line
// on stderr with all these words. A line of the log may stand before it.
func refuses(t *testing.T, args []string, words ...string) {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"}, args...)
	r := run(t, refusalLimit, binary, args...)
	if r.code != 1 || strings.Contains(r.stdout, "ready") {
		t.Errorf("carillon %s: exit code %d, want 1\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		return
	}
	said := slices.DeleteFunc(strings.SplitAfter(r.stderr, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "time=") && strings.Contains(line, "level=INFO")
	})
	line, rest, _ := strings.Cut(strings.Join(said, ""), "\n")
	if rest != "" || !strings.HasPrefix(line, "carillon serve: ") {
		t.Errorf("not one line:\n%s", r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(line, w) {
			t.Errorf("the line does not say %q: %s", w, line)
		}
	}
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	refuses(t, []string{"--ephemeral", "--listen", addr}, addr, "taken", "--listen")
	refuses(t, []string{"--ephemeral", "--ops", addr}, addr, "taken", "--ops")
}

// TestDataUnwritable names places that root cannot write to either.
func TestDataUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(file, "data"), file} {
		refuses(t, []string{"--data", dir}, dir, "cannot be written", "--data")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		refuses(t, []string{"--data", "/proc/carillon"}, "/proc/carillon", "--data")
	}
}

func TestDataInUse(t *testing.T) {
	data := filepath.Join(workDir(t), "data")
	s := serve(t, data)
	refuses(t, []string{"--data", data}, data, "in use by another", "stop it")
	s.person(t, "undisturbed").send(t, visual("still here", ""))
	s.stop(t)
}

func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "carillon.yaml")
	for text, want := range map[string][]string{
		"strore: {}\n":                {"strore", "unknown key", "store"},
		"journal:\n  partition: 3\n":  {":2:", "journal.partition", "unknown key"},
		"http: {idleTimeout: soon}\n": {"http.idleTimeout", "soon"},
		"apps:\n  - {host: x.localhost, clients: [c], identities: [{platform: vax, appId: a}]}\n": {"apps[0].identities[0].platform", "vax"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, []string{"--ephemeral", "--config", file}, append(want, "carillon.yaml")...)
	}
	refuses(t, []string{"--ephemeral", "--config", filepath.Join(dir, "none.yaml")}, "none.yaml", "cannot be read", "--config")
	refuses(t, []string{"--ephemeral", "--set", "dispatch.shard=4"}, "dispatch.shard", "unknown key")
	refuses(t, []string{"--ephemeral", "--tls-cert", filepath.Join(dir, "none.pem"), "--tls-key", file}, "none.pem")
	refuses(t, []string{"--ephemeral", "--listen", "0.0.0.0:0"}, "loopback", "--no-dev-issuer")
}

// TestDamagedData starts on copies of a directory in which one thing is wrong.
func TestDamagedData(t *testing.T) {
	dir := workDir(t)
	whole := filepath.Join(dir, "whole")
	var ids []string
	for range 2 { // what the first start left in the store's log the second makes a table of
		s := serve(t, whole)
		p := s.person(t, "survivor")
		p.register(t, "ios", "")
		for range 20 {
			ids = append([]string{p.send(t, visual("kept", strings.Repeat("x", 500)))}, ids...)
		}
		history(t, p)
		s.stop(t)
	}

	copied := func(t *testing.T, name string) string {
		t.Helper()
		to := filepath.Join(dir, name)
		if err := os.CopyFS(to, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(to, "master.key"), 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, c := range []struct {
		name, pattern string
		harm          func(path string) error
		says          []string
	}{
		{"manifest", "store/MANIFEST-*", stub, []string{"store", "damaged", "restore", "move the directory away"}},
		{"table", "store/*.sst", half, []string{"store", "damaged", "restore", "move the directory away"}},
		{"format", "store/FORMAT", half, []string{"store", "damaged", "restore"}},
		{"newer format", "store/FORMAT", newer, []string{"store", "newer format 2", "start the newer version"}},
		{"store lost", "store", os.RemoveAll, []string{"journal", "settled up to", "damaged, empty or another", "Restore the store"}},
		{"journal lost", "journal/partitions", os.RemoveAll, []string{"journal", "store holds rows up to", "Point carillon to the journal"}},
		{"journal state", "journal/topics.json", half, []string{"journal", "damaged", "restore"}},
		{"master key", "master.key", half, []string{"master.key", "16 bytes instead of 32", "restore"}},
		{"no master key", "master.key", os.Remove, []string{"master.key is gone", "restore it from a backup"}},
		{"sandbox identity", "sandbox/credentials.json", half, []string{"credentials.json", "delete the folder"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copied(t, c.name)
			harmed(t, data, c.pattern, c.harm)
			if !strings.HasSuffix(c.name, "lost") { // a file is at fault: where it lies helps
				c.says = append(c.says, data)
			}
			refuses(t, []string{"--data", data}, c.says...)
		})
	}
	// What a crash tears is the end of a file that grows: that must start, and
	// nothing that was accepted is missing.
	for _, c := range []struct {
		name, pattern string
		harm          func(path string) error
	}{
		{"torn end of the journal", "journal/partitions/*/*.dat", halfWritten},
		{"torn end of the store's log", "store/*.log", lessTail},
		{"journal index lost", "journal/partitions/*/*.idx", half},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copied(t, c.name)
			harmed(t, data, c.pattern, c.harm)
			s := serve(t, data)
			p := s.person(t, "survivor")
			if got := history(t, p); strings.Join(got, " ") != strings.Join(ids, " ") {
				t.Errorf("history has %d notifications, want %d", len(got), len(ids))
			}
			later := p.register(t, "android", "")
			p.fence(t, later)
			s.stop(t)
		})
	}
}

// harmed does harm to what matches the pattern in data, empty files aside.
func harmed(t *testing.T, data, pattern string, harm func(path string) error) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, pattern))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			continue
		}
		if err := harm(path); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Fatalf("nothing in %s is %s, or all of it is empty: %v", data, pattern, paths)
	}
}

// half cuts a file in two, stub leaves its first bytes, lessTail cuts the last
// bytes off.
func half(file string) error { return cut(file, func(size int64) int64 { return size / 2 }) }

func stub(file string) error { return cut(file, func(size int64) int64 { return min(size, 20) }) }

func lessTail(file string) error { return cut(file, func(size int64) int64 { return max(0, size-7) }) }

func cut(file string, to func(size int64) int64) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, to(info.Size()))
}

// halfWritten appends the beginning of a record, as a crash leaves it.
func halfWritten(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, text[:min(100, len(text)/2)]...), 0o600)
}

// newer makes the store's format one of a later version.
func newer(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.Replace(text, []byte("carillon-store 1 "), []byte("carillon-store 2 "), 1), 0o600)
}

// TestCtrlC ends a busy gateway in order, soon.
func TestCtrlC(t *testing.T) {
	s := serve(t, filepath.Join(workDir(t), "data"))
	p := s.person(t, "busy")
	p.three(t, "")
	for range 20 {
		p.send(t, visual("on the way", ""))
	}
	begin := time.Now()
	s.stop(t)
	took := time.Since(begin)
	t.Logf("ended %v after Ctrl-C", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Error("that is too long")
	}
}
