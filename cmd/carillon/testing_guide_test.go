package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTestingGuide runs docs/testing.md: its sh blocks as one script, after the Go
// and Python blocks were written to the files that their first lines name.
func TestTestingGuide(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var script strings.Builder
	blocks := map[string]int{}
	for i, part := range strings.Split(string(text), "\n```") {
		if i%2 == 0 {
			continue
		}
		kind, body, _ := strings.Cut(part, "\n")
		blocks[kind]++
		switch kind {
		case "sh":
			script.WriteString(body + "\n")
		case "go", "python":
			name := strings.Fields(body)[1]
			if err := os.WriteFile(filepath.Join(dir, name), []byte(body+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if blocks["sh"] < 8 || blocks["go"] != 1 || blocks["python"] != 1 {
		t.Fatalf("blocks: %v", blocks)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script.String()+`echo "$DATA" >data`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "carillon.log"))
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
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
