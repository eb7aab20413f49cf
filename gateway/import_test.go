package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const imports = "/api/v1/endpoints"

// imported is the reply of an import.
type imported struct {
	faults  []fault
	summary struct{ Lines, Accepted, Failed int }
}

type fault struct {
	Code, Message, Target string
	Line                  int
}

func (r *rig) imported(a *answer) (i imported) {
	r.t.Helper()
	r.want(a, 200)
	if ct := a.header.Get("Content-Type"); ct != "application/x-ndjson" {
		r.t.Errorf("content type %q", ct)
	}
	lines := bytes.Split(bytes.TrimSpace(a.body), []byte{'\n'})
	for n, line := range lines {
		var l struct {
			Error   *fault
			Summary *struct{ Lines, Accepted, Failed int }
		}
		if err := json.Unmarshal(line, &l); err != nil {
			r.t.Fatalf("%v: %s", err, line)
		}
		switch {
		case l.Error != nil:
			i.faults = append(i.faults, *l.Error)
		case l.Summary != nil && n == len(lines)-1:
			i.summary = *l.Summary
		default:
			r.t.Fatalf("line %d of the reply: %s", n+1, line)
		}
	}
	return i
}

func (r *rig) post(token string, body io.Reader, headers ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+imports, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &answer{status: res.StatusCode, header: res.Header, body: b}, err
}

func (r *rig) importing(body string, headers ...string) *answer {
	r.t.Helper()
	a, err := r.post(r.app(), strings.NewReader(body), headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func importLine(i int) string {
	return fmt.Sprintf(`{"userId":"dev.u%07d","installationId":"phone","host":%q,"platform":"ios","address":"%064x","appId":"com.example.app"}`+"\n", i, host, i)
}

func importBody(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		b.WriteString(importLine(i))
	}
	return b.String()
}

func TestImport(t *testing.T) {
	r := newRig(t, gateway.Config{})
	now := r.clock.UnixMilli()
	soon := time.UnixMilli(now + 3_600_000).UTC()
	past := time.UnixMilli(now - 1000).UTC().Format(time.RFC3339)
	whole := fmt.Sprintf(`{"userId":"dev.a","installationId":"one","host":"APP.example.com","platform":"IOS","address":"AABB","appId":"com.example.app","environment":"sandbox","locale":"de-CH","push":"tapOnly","expirationDateTime":%q,"registeredDateTime":%q,"unknown":{"x":[1]}}`,
		soon.Format(time.RFC3339Nano), past)
	late := now + carillon.EndpointLife.Milliseconds()*2
	body := strings.Join([]string{
		whole,
		"",
		" " + `{"userId":"dev.b","installationId":"two","platform":"polling","address":null}` + "\r",
		`{"userId":"dev.b","installationId":"tw\u006f","platform":"android","address":"t","appId":"com.example.two","expirationDateTime":"` + time.UnixMilli(late).UTC().Format(time.RFC3339) + `"}`,
	}, "\n")
	i := r.imported(r.importing(body, "Prefer", "return=minimal"))
	if i.summary.Lines != 3 || i.summary.Accepted != 3 || i.summary.Failed != 0 || len(i.faults) != 0 {
		t.Fatalf("%+v", i)
	}
	all := r.journal.all()
	if len(all) != 3 || all[0].key != host+"/dev.a" || all[1].key != host+"/dev.b" {
		t.Fatalf("%d records", len(all))
	}
	want := carillon.Endpoint{
		ID: "one", Platform: carillon.IOS, Address: "AABB", AppID: "com.example.app", Environment: "sandbox", Locale: "de-CH",
		Push: carillon.TapOnly, Expires: soon.UnixMilli(), Registered: (now - 1000) / 1000 * 1000,
	}
	if got := all[0].rec.Endpoint; got != want || all[0].rec.Kind != journal.KindEndpoint || all[0].rec.At < now {
		t.Errorf("%+v", all[0].rec)
	}
	if e := all[1].rec.Endpoint; e.ID != "two" || e.Platform != carillon.Polling || e.Registered != 0 || e.Expires < now+carillon.EndpointLife.Milliseconds() {
		t.Errorf("%+v", e)
	}
	if e := all[2].rec.Endpoint; e.ID != "two" || e.Platform != carillon.Android || e.Expires > late-carillon.EndpointLife.Milliseconds()+60_000 {
		t.Errorf("%+v: an endpoint lives %v at most", e, carillon.EndpointLife)
	}
}

func TestImportRefusals(t *testing.T) {
	r := newRig(t, gateway.Config{})
	line := func(rest string) string { return `{"userId":"dev.a","installationId":"i"` + rest + `}` }
	for n, c := range []struct{ line, code, target, says string }{
		{`[]`, "invalidRequest", "", "object"},
		{`{"userId":"a"`, "invalidRequest", "", "not valid JSON"},
		{"{\"userId\":\"\xff\"}", "invalidRequest", "", "UTF-8"},
		{`{"installationId":"i","platform":"polling"}`, "invalidRequest", "userId", "1 to"},
		{`{"userId":"a b","installationId":"i","platform":"polling"}`, "invalidRequest", "userId", "may not stand"},
		{`{"userId":"a","platform":"polling"}`, "invalidRequest", "installationId", "1 to"},
		{line(``), "invalidRequest", "platform", "windows"},
		{line(`,"platform":"tv"`), "invalidRequest", "platform", "windows"},
		{line(`,"platform":7`), "invalidRequest", "platform", "string"},
		{line(`,"platform":"polling","platform":"polling"`), "invalidRequest", "platform", "twice"},
		{line(`,"platform":"polling","address":"x"`), "invalidRequest", "address", "no address"},
		{line(`,"platform":"ios","address":"xyz","appId":"com.example.app"`), "invalidRequest", "address", "hexadecimal"},
		{line(`,"platform":"ios","address":"aabb","appId":"com.other"`), "invalidRequest", "appId", "com.example.app"},
		{line(`,"platform":"windows","address":"https://evil.example.com/"`), "invalidRequest", "address", "notify.windows.com"},
		{line(`,"platform":"polling","push":"loud"`), "invalidRequest", "push", "tapOnly"},
		{line(`,"platform":"polling","environment":"test"`), "invalidRequest", "environment", "sandbox"},
		{line(`,"platform":"polling","expirationDateTime":"soon"`), "invalidRequest", "expirationDateTime", "RFC 3339"},
		{line(`,"platform":"polling","expirationDateTime":"2020-01-01T00:00:00Z"`), "invalidRequest", "expirationDateTime", "past"},
		{line(`,"platform":"polling","host":"foreign.example.com"`), "accessDenied", "host", "may not act for"},
		{line(`,"platform":"polling","host":"nobody.example.com"`), "accessDenied", "host", "may not act for"},
		{line(`,"platform":"polling","x":"` + strings.Repeat("x", 17<<10) + `"`), "requestTooLarge", "", "16384"},
		{line(`,"platform":"polling","x":"` + strings.Repeat("x", 300<<10) + `"`), "requestTooLarge", "", "16384"},
	} {
		good := `{"userId":"dev.good","installationId":"i","platform":"polling"}`
		i := r.imported(r.importing(good + "\n" + c.line + "\n" + good))
		if i.summary.Lines != 3 || i.summary.Accepted != 2 || i.summary.Failed != 1 || len(i.faults) != 1 {
			t.Errorf("%d: %.100s: %+v", n, c.line, i)
			continue
		}
		f := i.faults[0]
		if f.Line != 2 || f.Target != c.target || !strings.Contains(f.Message, c.says) || f.Code == "" {
			t.Errorf("%d: %.100s: %+v", n, c.line, f)
		}
	}
	r.refused(r.importing("{}", "Content-Type", "text/csv"), 415, "Content-Type", "application/x-ndjson")
	r.refused(r.importing("{}", "Content-Encoding", "br"), 415, "Content-Encoding", "gzip")
	r.refused(r.call("POST", imports, r.alice(), "{}"), 403, "Authorization", "not a user's")
	r.refused(r.call("POST", imports, "", "{}"), 401, "Authorization", "token")
	none, err := r.post(r.token(auth.DevClaims{Client: "client-9"}), strings.NewReader(`{"userId":"a","installationId":"i","platform":"polling"}`))
	if err != nil {
		t.Fatal(err)
	}
	if i := r.imported(none); len(i.faults) != 1 || i.faults[0].Code != "accessDenied" {
		t.Errorf("%+v", i)
	}
	two := r.token(auth.DevClaims{Client: "client-2"})
	several, err := r.post(two, strings.NewReader(`{"userId":"a","installationId":"i","platform":"polling"}`))
	if err != nil {
		t.Fatal(err)
	}
	if i := r.imported(several); len(i.faults) != 1 || !strings.Contains(i.faults[0].Message, "several hosts") {
		t.Errorf("%+v", i)
	}
	if i := r.imported(r.importing("")); i.summary.Lines != 0 {
		t.Errorf("%+v", i)
	}
}

// TestImportTellsAThousandFaults: the rest is counted.
func TestImportTellsAThousandFaults(t *testing.T) {
	r := newRig(t, gateway.Config{})
	i := r.imported(r.importing(strings.Repeat("{}\n", 50_000)))
	if i.summary.Lines != 50_000 || i.summary.Failed != 50_000 || len(i.faults) != 1000 {
		t.Errorf("%+v, %d faults", i.summary, len(i.faults))
	}
}

// TestImportKeepsOrder sends one user's changes through many batches.
func TestImportKeepsOrder(t *testing.T) {
	r := newRig(t, gateway.Config{})
	const lines = 30_000
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range lines {
		fmt.Fprintf(z, `{"userId":"dev.u%d","installationId":"phone","platform":"android","address":"t%d","appId":"com.example.one"}`+"\n", i%7, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	i := r.imported(r.importing(b.String(), "Content-Encoding", "gzip"))
	if i.summary.Accepted != lines {
		t.Fatalf("%+v", i.summary)
	}
	last := map[string]int{}
	for _, a := range r.journal.all() {
		var n int
		if _, err := fmt.Sscanf(a.rec.Endpoint.Address, "t%d", &n); err != nil {
			t.Fatal(err)
		}
		if was, ok := last[a.key]; ok && n != was+7 {
			t.Fatalf("%s: line %d follows %d", a.key, n, was)
		}
		last[a.key] = n
	}
}

// TestImportJournalFails stops at the batch that was not acknowledged and says
// from which line on to repeat; a second run ends the work and changes nothing
// of the first.
func TestImportJournalFails(t *testing.T) {
	r := newRig(t, gateway.Config{})
	n := 0
	r.journal.set(func(j *fakeJournal) {
		j.each = func(e *journal.Entry) {
			if n++; n > 5000 {
				e.Err = &carillon.Error{Code: carillon.CodeUnavailable, RetryAfter: time.Second, Message: "no broker answers"}
			}
		}
	})
	body := importBody(0, 20_000)
	a := r.importing(body)
	r.refused(a, 503, "", "5000 endpoints are journalled and stay, lines 1 to 4096 are decided: send the whole again, or from line 4097 on")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r.journal.set(func(j *fakeJournal) { j.each = nil })
	if i := r.imported(r.importing(body)); i.summary.Accepted != 20_000 {
		t.Errorf("%+v", i.summary)
	}
	if users := len(r.store.endpoints); users != 20_000 {
		t.Errorf("%d users", users)
	}
}

// TestImportRecordTooLarge: what the journal refuses for its own sake is a bad
// line.
func TestImportRecordTooLarge(t *testing.T) {
	r := newRig(t, gateway.Config{})
	r.journal.set(func(j *fakeJournal) {
		j.each = func(e *journal.Entry) {
			if bytes.HasSuffix(e.Key, []byte("5")) {
				e.Err = carillon.Errorf(carillon.CodeTooLarge, "", "too large for the journal")
			}
		}
	})
	i := r.imported(r.importing(importBody(0, 100)))
	if i.summary.Accepted != 90 || i.summary.Failed != 10 || i.faults[0].Line != 6 {
		t.Errorf("%+v", i)
	}
}

// slowBody gives a start, then waits until it is closed.
type slowBody struct {
	start io.Reader
	stop  chan struct{}
}

func (s *slowBody) Read(b []byte) (int, error) {
	if n, err := s.start.Read(b); err == nil {
		return n, nil
	}
	<-s.stop
	return 0, io.ErrClosedPipe
}

// TestImportAborted: a client who goes away half-way leaves what was journalled
// and no goroutine; a client who stands still is told.
func TestImportAborted(t *testing.T) {
	r := newRig(t, gateway.Config{})
	body := &slowBody{start: strings.NewReader(importBody(0, 30_000)), stop: make(chan struct{})}
	done := make(chan error, 1)
	token := r.app()
	go func() {
		_, err := r.post(token, body)
		done <- err
	}()
	for n := 0; n < 20_000; r.journal.set(func(j *fakeJournal) { n = len(j.records) }) {
		runtime.Gosched()
	}
	close(body.stop)
	if err := <-done; err == nil {
		t.Error("half a body was accepted")
	}
	if n := len(r.journal.all()); n > 30_000 {
		t.Errorf("%d records", n)
	}
	if i := r.imported(r.importing(importBody(0, 30_000))); i.summary.Accepted != 30_000 {
		t.Errorf("%+v", i.summary)
	}
	if users := len(r.store.endpoints); users != 30_000 {
		t.Errorf("%d users", users)
	}
}

// TestImportBudget: imports count against the process's budget for bulk.
// TestImportStalls: a body that stands still is 408, plain or packed, and the answer
// tells what stays of it.
func TestImportStalls(t *testing.T) {
	r := newRigBehind(t, gateway.Config{}, httpapi.Config{ReadTimeout: 200 * time.Millisecond}, func(*gateway.Deps) {})
	for _, encoding := range []string{"", "gzip"} {
		body, feed := io.Pipe()
		go func() {
			to := io.Writer(feed)
			if encoding != "" {
				z := gzip.NewWriter(feed)
				defer func() { _ = z.Flush() }()
				to = z
			}
			_, _ = io.WriteString(to, importBody(0, 3))
		}()
		headers := []string{}
		if encoding != "" {
			headers = append(headers, "Content-Encoding", encoding)
		}
		a, err := r.post(r.app(), body, headers...)
		_ = feed.Close()
		if err != nil {
			t.Fatal(err)
		}
		_, _, message := a.fault()
		if a.status != 408 || !strings.Contains(message, "less than 16 KiB/s") || !strings.Contains(message, "lines 1 to ") {
			t.Errorf("%q: %d %s", encoding, a.status, a.body)
		}
	}
}

func TestImportBudget(t *testing.T) {
	r := newRig(t, gateway.Config{BulkBytes: 1 << 20, BulkBudgetBytes: 5 << 20})
	r.journal.set(func(j *fakeJournal) { j.hold, j.held = make(chan struct{}), make(chan struct{}) })
	first := make(chan *answer, 1)
	token := r.app()
	go func() {
		a, err := r.post(token, strings.NewReader(importLine(1)))
		if err != nil {
			t.Error(err)
		}
		first <- a
	}()
	r.await(r.journal.held, first)
	r.refused(r.importing(importLine(2)), 429, "", "no more fit")
	close(r.journal.hold)
	r.want(<-first, 200)
	r.want(r.importing(importLine(2)), 200)
}

// TestImportMemory imports 200 MiB: what the process holds does not grow with
// the body.
func TestImportMemory(t *testing.T) {
	r := newRig(t, gateway.Config{})
	r.journal.set(func(j *fakeJournal) { j.forget = true })
	const lines = 500
	var one strings.Builder
	for i := range lines {
		fmt.Fprintf(&one, `{"userId":"dev.u%07d","installationId":"phone","platform":"polling","note":%q}`+"\n", i, strings.Repeat("x", 4000))
	}
	times := 200<<20/one.Len() + 1
	readers := make([]io.Reader, times)
	for i := range readers {
		readers[i] = struct{ io.Reader }{strings.NewReader(one.String())}
	}
	body := io.MultiReader(readers...)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a, err := r.post(r.app(), body)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if i := r.imported(a); i.summary.Accepted != times*lines {
		t.Errorf("%+v", i.summary)
	}
	grew := int64(after.HeapSys) - int64(before.HeapSys)
	t.Logf("%d lines, %d MiB: the heap grew by %d KiB", times*lines, times*one.Len()>>20, grew>>10)
	if grew > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grew)
	}
}
