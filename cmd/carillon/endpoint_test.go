package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// served runs `carillon serve` in this process and gives its URL.
func served(t *testing.T, data string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &line{want: "ready", seen: make(chan struct{})}
	var fault strings.Builder
	e := &env{stdout: out, stderr: &fault}
	var run sync.WaitGroup
	var code int
	run.Go(func() {
		code = e.run(ctx, []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"})
	})
	ended := make(chan struct{})
	go func() { run.Wait(); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if code != exitOK {
			t.Errorf("serve: %d %s", code, fault.String())
		}
	})
	select {
	case <-out.seen:
	case <-ended:
		t.Fatal(fault.String())
	}
	_, url, _ := strings.Cut(out.String(), "ready")
	return strings.TrimSpace(url)
}

func devices(users int) string {
	var b strings.Builder
	for i := range users {
		fmt.Fprintf(&b, `{"userId":"dev.u%05d","installationId":"desk","host":"demo.localhost","platform":"windows","address":"https://a.notify.windows.com/?token=%d","appId":%q,"locale":"de","push":"tapOnly"}`+"\n", i, i, sampleAUMID)
		fmt.Fprintf(&b, `{"userId":"dev.u%05d","installationId":"phone","platform":"ios","address":"%08x","environment":"sandbox","expirationDateTime":"2999-01-01T00:00:00Z","registeredDateTime":"2026-01-02T03:04:05.678Z"}`+"\n", i, i)
	}
	return b.String()
}

// exported exports until all is applied.
func exported(t *testing.T, url, data, file string, want int) string {
	t.Helper()
	for t.Context().Err() == nil {
		code, out, fault := call(t, "endpoint", "export", "--json", "--url", url, "--data", data, file)
		var s exportSummary
		if err := json.Unmarshal([]byte(out), &s); code != exitOK || err != nil {
			t.Fatalf("%d %v %s", code, err, fault)
		}
		if s.Endpoints >= want {
			break
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEndpointsComeAndGo imports, exports, imports the export elsewhere and
// exports that: nothing is lost or changed on the way.
func TestEndpointsComeAndGo(t *testing.T) {
	const users = 1500
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	in := filepath.Join(dir, "in.ndjson")
	if err := os.WriteFile(in, []byte(devices(users)), 0o600); err != nil {
		t.Fatal(err)
	}
	url := served(t, one)
	code, out, fault := call(t, "endpoint", "import", "--url", url, "--data", one, in)
	if code != exitOK || !strings.HasPrefix(out, "3000 lines: 3000 accepted, 0 failed") {
		t.Fatalf("%d %s %s", code, out, fault)
	}
	first := exported(t, url, one, filepath.Join(dir, "first.ndjson"), 2*users)
	if n := strings.Count(first, "\n"); n != 2*users {
		t.Fatalf("%d lines", n)
	}
	line, _, _ := strings.Cut(first, "\n")
	for _, member := range []string{`"userId":"dev.u00000"`, `"installationId":"desk"`, `"push":"tapOnly"`, `"locale":"de"`, `"address":"https://a.notify.windows.com/?token=0"`} {
		if !strings.Contains(line, member) {
			t.Errorf("%s is missing in %s", member, line)
		}
	}
	again := served(t, two)
	for range 2 { // the second run changes nothing
		code, out, fault = call(t, "endpoint", "import", "--json", "--url", again, "--data", two, filepath.Join(dir, "first.ndjson"))
		var s importSummary
		if err := json.Unmarshal([]byte(out), &s); code != exitOK || err != nil || s.Accepted != 2*users {
			t.Fatalf("%d %v %+v %s", code, err, s, fault)
		}
	}
	second := exported(t, again, two, filepath.Join(dir, "second.ndjson"), 2*users)
	if first != second {
		t.Errorf("the export of the import of the export differs:\n%.400s\n%.400s", first, second)
	}
}

// TestEndpointImportTries: what fails on the way is sent again, what is refused
// is told with its line, and a run that gives up says where it stood.
func TestEndpointImportTries(t *testing.T) {
	var got []string
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, string(b))
		switch {
		case r.Header.Get("Authorization") != "Bearer t":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"code":"unauthenticated","message":"who are you"}}`)
		case len(got) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":{"code":"serviceNotAvailable","message":"the journal does not take endpoints now"}}`)
		default:
			_, _ = io.WriteString(w, `{"error":{"code":"invalidRequest","message":"name one","target":"platform","line":2}}`+"\n"+`{"summary":{"lines":2,"accepted":1,"failed":1}}`+"\n")
		}
	}))
	defer gate.Close()
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("{}\n{\"x\":1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, fault := call(t, "endpoint", "import", "--url", gate.URL, "--token", "t", file)
	if code != exitFailed || !strings.HasPrefix(out, "2 lines: 1 accepted, 1 failed") {
		t.Errorf("%d %s", code, out)
	}
	for _, want := range []string{"line 1: the journal does not take endpoints now; again in 500ms\n", "line 2: platform: name one\n", "1 of 2 lines were refused"} {
		if !strings.Contains(fault, want) {
			t.Errorf("%q is missing in\n%s", want, fault)
		}
	}
	if d := cmp.Diff([]string{"{}\n{\"x\":1}", "{}\n{\"x\":1}"}, got); d != "" {
		t.Error(d)
	}
	code, _, fault = call(t, "endpoint", "import", "--url", gate.URL, "--token", "wrong", file)
	if code != exitFailed || !strings.Contains(fault, "who are you") || !strings.Contains(fault, "from line 1 on") {
		t.Errorf("%d %s", code, fault)
	}
	code, _, fault = call(t, "endpoint", "export", "--url", gate.URL, "--token", "wrong")
	if code != exitFailed || !strings.Contains(fault, "who are you") {
		t.Errorf("%d %s", code, fault)
	}
	for _, args := range [][]string{{"a", "b"}, {"--url", "nonsense", "--token", "t"}} {
		if code, _, fault := call(t, append([]string{"endpoint", "import"}, args...)...); code != exitUsage {
			t.Errorf("%v: %d %s", args, code, fault)
		}
	}
}

// TestEndpointPieces: the input is cut at line ends only.
func TestEndpointPieces(t *testing.T) {
	row := strings.Repeat("x", 1<<20) + "\n"
	in := strings.Repeat(row, 20) + "the last"
	var got strings.Builder
	m := &importing{}
	n := 0
	err := m.pieces(strings.NewReader(in), func(b []byte) error {
		n++
		if m.before+strings.Count(string(b), "\n") < 20 && b[len(b)-1] != '\n' {
			t.Error("a piece ends within a line")
		}
		got.Write(b)
		return nil
	})
	if err != nil || got.String() != in || n != 3 || m.before != 21 {
		t.Errorf("%v, %d pieces, %d lines", err, n, m.before)
	}
	err = m.pieces(strings.NewReader(strings.Repeat("x", importPiece+1)), func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
}
