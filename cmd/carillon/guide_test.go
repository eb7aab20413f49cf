package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guide is a document whose code is run.
type guide struct {
	file   string
	tools  []string       // beside sh and curl; without one of them the test is skipped
	blocks map[string]int // how many there are of a kind that is run, at least
	// last is run behind the guide's own sh blocks.
	last string
}

// block is a fenced block: its info string and what is in it.
type block struct{ kind, body string }

// blocks reads a document's fenced blocks.
func blocks(t *testing.T, file string) (found []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(text), "\n```") {
		if i%2 == 1 {
			kind, body, _ := strings.Cut(part, "\n")
			found = append(found, block{kind, body + "\n"})
		}
	}
	return found
}

// run runs a guide: its sh blocks as one script, after the blocks of other
// languages were written to the files that their first lines name. It gives the
// directory that all of it ran in.
func (g *guide) run(t *testing.T) (dir string) {
	t.Helper()
	for _, tool := range append([]string{"sh", "curl"}, g.tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	dir = t.TempDir()
	var script strings.Builder
	count := map[string]int{}
	for _, b := range blocks(t, g.file) {
		count[b.kind]++
		first := strings.Fields(b.body)
		switch {
		case b.kind == "sh":
			script.WriteString(b.body)
		case len(first) > 1 && (first[0] == "//" || first[0] == "#") && slices.Contains([]string{"go", "python", "js"}, b.kind) && strings.Contains(first[1], "."):
			if err := os.WriteFile(filepath.Join(dir, first[1]), []byte(b.body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for kind, n := range g.blocks {
		if count[kind] < n {
			t.Fatalf("%s has %v blocks; the test reads it wrongly", g.file, count)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script.String()+g.last)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a guide that hangs leaves no gateway behind
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "GORACE=atexit_sleep_ms=0") // a second for each command, with -race
	if out, err := cmd.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "carillon.log"))
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	return dir
}

// TestTestingGuide runs docs/testing.md.
func TestTestingGuide(t *testing.T) {
	t.Parallel()
	g := guide{
		file: "testing.md", tools: []string{"python3"}, blocks: map[string]int{"sh": 8, "go": 1, "python": 1},
		last: `echo "$DATA" >data`,
	}
	dir := g.run(t)
	told, err := os.ReadFile(filepath.Join(dir, "carillon.json"))
	for _, want := range []string{`"apns": "127.0.0.1:`, `"token": "127.0.0.1:`, `"caFile": "`, `"seed": `} {
		if err != nil || !strings.Contains(string(told), want) {
			t.Errorf("%v: no %s in %s", err, want, told)
		}
	}
	// Ctrl-C left nothing behind.
	data, err := os.ReadFile(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(data))); !os.IsNotExist(err) {
		t.Errorf("the data directory is still there: %v", err)
	}
}

// TestReceiveGuide runs docs/receive.md, what all platforms have in common.
func TestReceiveGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "receive.md", blocks: map[string]int{"sh": 8}}
	g.run(t)
}

// TestIOSGuide runs docs/receive-ios.md.
func TestIOSGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "receive-ios.md", blocks: map[string]int{"sh": 3, notCompiled("swift"): 3}}
	g.run(t)
}

// TestAndroidGuide runs docs/receive-android.md.
func TestAndroidGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "receive-android.md", blocks: map[string]int{"sh": 2, notCompiled("kotlin"): 2}}
	g.run(t)
}

// TestWindowsGuide runs docs/receive-windows.md.
func TestWindowsGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "receive-windows.md", blocks: map[string]int{"sh": 3, notCompiled("csharp"): 2}}
	g.run(t)
}

// TestWebGuide runs docs/receive-web.md, with Node in a browser's place.
func TestWebGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "receive-web.md", tools: []string{"node"}, blocks: map[string]int{"sh": 2, "js": 2, "js not-run": 1}}
	g.run(t)
}

// TestGuides: a block of a guide is run, or its info string says that it is not;
// and every link to a file leads to one.
func TestGuides(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`)
	for _, file := range append(append(files, more...), "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), l[1])); err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, l[0])
			}
		}
		name := filepath.Base(file)
		if name != "send.md" && !strings.HasPrefix(name, "receive") {
			continue
		}
		for _, b := range blocks(t, name) {
			if !slices.Contains([]string{"sh", "go", "js", "js not-run", notCompiled("swift"), notCompiled("kotlin"), notCompiled("csharp")}, b.kind) {
				t.Errorf("%s: nothing runs or compiles a block of %q: say so in its info string", name, b.kind)
			}
		}
	}
}

// notCompiled is the info string of a block in a language that has no compiler
// here.
func notCompiled(language string) string { return language + " not-compiled" }

// TestSendGuide runs docs/send.md. Its Go blocks are package client's examples.
func TestSendGuide(t *testing.T) {
	t.Parallel()
	g := guide{file: "send.md", blocks: map[string]int{"sh": 12}}
	g.run(t)
}
