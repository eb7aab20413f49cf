//go:build acceptance

package acceptance_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const importLimit = 5 * time.Minute

// TestImport imports CARILLON_IMPORT (50,000) endpoints, kills importer and
// gateway half-way, imports again as a whole, and exports: what comes out is what
// went in. By hand, with the million that takes at most a minute:
//
//	CARILLON_IMPORT=1000000 RUN=TestImport make acceptance
func TestImport(t *testing.T) {
	n, dir := number(t, "CARILLON_IMPORT", 50_000), workDir(t)
	in, out := filepath.Join(dir, "in.ndjson"), filepath.Join(dir, "out.ndjson")
	writeEndpoints(t, in, n)
	g := serve(t, filepath.Join(dir, "data"))
	first := start(t, filepath.Join(dir, "import.log"), binary, "endpoint", "import", "--url", g.url, "--data", g.data, "--app", host, in)
	until(t, importLimit, "half of them are applied", func() bool { return g.metric(t, "carillon_dispatch_records_fetched_total") >= n/2 })
	first.kill()
	g.kill()
	g = serve(t, g.data)
	begin := time.Now()
	r := run(t, importLimit, binary, "endpoint", "import", "--url", g.url, "--data", g.data, "--app", host, in)
	if r.code != 0 {
		t.Fatalf("importing: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	t.Logf("%d endpoints imported again, whole, in %v: %s", n, time.Since(begin).Round(time.Millisecond), strings.TrimSpace(r.stdout))
	want := readEndpoints(t, in)
	var got map[string]string
	until(t, importLimit, "the export has them all", func() bool {
		carillon(t, "endpoint", "export", "--url", g.url, "--data", g.data, "--app", host, out)
		got = readEndpoints(t, out)
		return len(got) >= len(want)
	})
	t.Logf("exported %v after the import began", time.Since(begin).Round(time.Millisecond))
	wrong := len(got) - len(want)
	for key, address := range want {
		if got[key] != address {
			wrong++
		}
	}
	if wrong != 0 {
		t.Errorf("%d endpoints are others than were imported", wrong)
	}
	g.stop(t)
}

// metric is a number of a running gateway.
func (s *site) metric(t *testing.T, name string) int {
	t.Helper()
	_, rest, _ := strings.Cut(string(fetch(t, s.http, s.ops+"/metrics", "", "GET", nil).want(t, 200).text), "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.Atoi(value)
	return n
}

func writeEndpoints(t *testing.T, file string, n int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, `{"userId":"dev.import-%d","installationId":"phone","host":%q,"platform":"ios","address":"%064x","appId":%q}`+"\n", i, host, i, bundle)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// readEndpoints gives each endpoint's address by user and installation.
func readEndpoints(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct{ UserID, InstallationID, Address string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v: %s", file, err, lines.Bytes())
		}
		all[e.UserID+" "+e.InstallationID] = e.Address
	}
	return all
}
