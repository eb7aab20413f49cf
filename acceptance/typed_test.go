//go:build acceptance

package acceptance_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTypedClient makes a Python client of the running gateway's /openapi.json,
// without one warning of the generator, and has it do what Microsoft's JavaScript
// client does in [TestGraphClient]. mypy --strict holds the script to the types
// that the description says.
func TestTypedClient(t *testing.T) {
	tools := typedTools(t)
	s := serve(t, filepath.Join(workDir(t), "data"))
	p := s.person(t, "guido")
	p.three(t, "")
	project := filepath.Join(caches, "typed") // mypy's cache lies beside the script
	files, err := os.ReadDir("typed")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(project, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join("typed", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(project, f.Name()), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	description := s.call(t, "", "GET", "/openapi.json", nil).want(t, 200)
	if err := os.WriteFile(filepath.Join(project, "openapi.json"), description.text, 0o644); err != nil {
		t.Fatal(err)
	}
	python := func(name string, args ...string) string {
		t.Helper()
		begin := time.Now()
		cmd := exec.CommandContext(t.Context(), filepath.Join(tools, name), args...)
		cmd.Dir = project
		cmd.Env = append(os.Environ(), "NO_PROXY=*", "CARILLON_URL="+s.url, "CARILLON_HOST="+host, "CARILLON_USER="+p.id,
			"CARILLON_TOKEN="+p.token, "CARILLON_APP="+s.app)
		r := finish(t, cmd)
		if r.code != 0 {
			t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
		t.Logf("%s: %v", name, time.Since(begin).Round(10*time.Millisecond))
		return r.stdout
	}
	python("openapi-python-client", "generate", "--path", "openapi.json", "--config", "generate.yaml",
		"--meta", "none", "--output-path", "carillon_api", "--overwrite", "--fail-on-warning")
	python("mypy", "feed.py")
	const want = `{"batch":[201,201,201,201,201,400,424],"failed":"failedDependency","count":5,"firstPage":2,"paged":["t5","t4","t3","t2","t1"],` +
		`"filtered":["t1","t3","t5"],"even":"2","selected":["odd",false,true],"whole":["t1","t2","t3","t4","t5"],` +
		`"patched":[true,true],"stale":412,"dismissed":true,"keyed":"t2","delete":204,"after":["t1*","-deleted"],"rest":[],` +
		`"deliveries":["android","ios","windows"],` +
		`"errors":["400 invalidRequest $filter","403 accessDenied host","404 itemNotFound id","400 invalidRequest payload"]}`
	if got := strings.TrimSpace(python("python", "feed.py")); got != want {
		t.Errorf("the client saw\n%s, want\n%s", got, want)
	}
	s.stop(t)
}

// typedTools installs what acceptance/typed/requirements.txt names, once for each
// text of it, and gives the folder of the commands.
func typedTools(t *testing.T) string {
	t.Helper()
	needs(t, "python3")
	dir := filepath.Join(caches, "typed-tools")
	lock, err := os.ReadFile("typed/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(dir, "installed.txt") // the lock that it was made from
	bin := filepath.Join(dir, "bin")
	if had, err := os.ReadFile(installed); err == nil && bytes.Equal(had, lock) {
		return bin
	}
	for _, step := range [][]string{
		{"python3", "-m", "venv", "--clear", dir},
		{filepath.Join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", "typed/requirements.txt"},
	} {
		if r := run(t, npmLimit, step[0], step[1:]...); r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", strings.Join(step, " "), r.code, r.stdout, r.stderr)
		}
	}
	if err := os.WriteFile(installed, lock, 0o644); err != nil {
		t.Fatal(err)
	}
	return bin
}
