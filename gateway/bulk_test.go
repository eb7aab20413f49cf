package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/journal"
)

const bulk = "/api/v1/notifications"

func line(user, rest string) string {
	return `{"userId":"` + user + `","targetHostName":"` + host + `","payload":{"rawContent":"r"}` + rest + `}`
}

// bulkCall posts lines and takes the reply apart; the last line is the summary.
func (r *rig) bulk(body string, headers ...string) (lines []map[string]any, summary string) {
	r.t.Helper()
	a := r.want(r.call("POST", bulk, r.app(), body, append([]string{"Content-Type", "application/x-ndjson"}, headers...)...), 200)
	if ct := a.header.Get("Content-Type"); ct != "application/x-ndjson" {
		r.t.Errorf("Content-Type %q", ct)
	}
	all := strings.Split(strings.TrimSuffix(string(a.body), "\n"), "\n")
	for _, l := range all[:len(all)-1] {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			r.t.Fatalf("%q: %v", l, err)
		}
		lines = append(lines, m)
	}
	return lines, all[len(all)-1]
}

func TestBulk(t *testing.T) {
	r := newRig(t, gateway.Config{})
	body := strings.Join([]string{
		line("dev.alice", ""),
		line("dev.bob", `,"colour":"red"`) + "\r",
		``,
		`{"userId":"dev.alice"`,
		line("dev.alice", `,"priority":"Urgent"`),
		line("dev.alice", `,"appNotificationId":"n"`),
		line("dev.alice", `,"idempotencyKey":"k"`),
		line("dev.alice", `,"idempotencyKey":"k"`),
		strings.Replace(line("dev.alice", ""), host, "foreign.example.com", 1),
		strings.Replace(line("dev.alice", ""), host, "f\\u006freign.example.com", 1),
		strings.Replace(line("dev.alice", ""), host, "\\u0061pp.example.com", 1),
		line("dev alice", ""),
		strings.Replace(line("", ""), `"userId":"",`, "", 1),
		line("dev.alice", `,"subscriptionId":"x"`),
		strings.Replace(line("", ""), `"userId":""`, `"subscriptionId":"x"`, 1),
		line("dev.alice", `,"deliverAt":"tomorrow"`),
		line("dev.alice", `,"x":"`+strings.Repeat("x", 64<<10)+`"`),
	}, "\n")
	got, summary := r.bulk(body)
	want := []string{
		"id", "id", "4  invalidRequest", "5 priority invalidRequest", "id", "id", "id",
		"9 targetHostName accessDenied", "10 targetHostName accessDenied", "id", "12 userId invalidRequest", "13 userId invalidRequest",
		"14 userId invalidRequest", "15 subscriptionId accessDenied", "16 deliverAt invalidRequest", "17  requestTooLarge",
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d: %v", len(got), len(want), got)
	}
	for i, m := range got {
		s := "id"
		if e, ok := m["error"].(map[string]any); ok {
			target, _ := e["target"].(string)
			s = fmt.Sprintf("%v %s %v", e["line"], target, e["code"])
			if e["message"] == "" {
				t.Errorf("line %d has no message", i)
			}
		}
		if s != want[i] {
			t.Errorf("line %d: %s, want %s", i, s, want[i])
		}
	}
	if summary != `{"summary":{"lines":16,"accepted":6,"failed":10}}` {
		t.Errorf("summary %s", summary)
	}
	recs := r.journal.all()
	if len(recs) != 6 {
		t.Fatalf("%d records", len(recs))
	}
	alice := carillon.User{Host: host, ID: "dev.alice"}
	id := func(i int) string { return got[i]["id"].(string) }
	if want := r.ids.Positional(alice.Hash(), recs[0].at).String(); id(0) != want || recs[0].rec.HasRID {
		t.Errorf("id %s, want %s", id(0), want)
	}
	if recs[1].key != host+"/dev.bob" || string(recs[1].rec.Notification.Extra) != `{"colour":"red"}` {
		t.Errorf("record %+v", recs[1])
	}
	if want := r.ids.Derived(alice, 'a', "n").String(); id(4) != want || recs[2].rec.Notification.ID.String() != want || !recs[2].rec.HasRID {
		t.Errorf("id %s, want %s", id(4), want)
	}
	if id(5) != id(6) || recs[3].rec.RID != recs[4].rec.RID || recs[3].rec.BodyHash != recs[4].rec.BodyHash || recs[3].rec.BodyHash == [16]byte{} {
		t.Errorf("keyed lines: %+v %+v", recs[3].rec, recs[4].rec)
	}
	if recs[5].rec.HasRID || recs[5].rec.BodyHash != [16]byte{} || !recs[5].rec.Notification.ID.IsZero() {
		t.Errorf("an unkeyed line after keyed ones carries %+v", recs[5].rec)
	}
	// The single send and the bulk line of one key are one request.
	a := r.want(r.call("POST", theirs, r.app(), strings.Replace(line("", ""), `"userId":"",`, "", 1), "Idempotency-Key", "k"), 201)
	if a.str("id") != id(5) || len(r.journal.all()) != 6 {
		t.Errorf("single send: id %s, want %s; %d records", a.str("id"), id(5), len(r.journal.all()))
	}
}

func TestBulkMinimalAndZipped(t *testing.T) {
	r := newRig(t, gateway.Config{})
	body := line("dev.alice", "") + "\n" + line("dev.alice", `,"priority":9`) + "\n" + line("dev.bob", "") + "\n"
	got, summary := r.bulk(body, "Prefer", "respond-async, return=minimal")
	if len(got) != 1 || got[0]["error"] == nil || summary != `{"summary":{"lines":3,"accepted":2,"failed":1}}` {
		t.Errorf("%v %s", got, summary)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(strings.Repeat(line("dev.alice", "")+"\n", 3000)))
	_ = z.Close()
	got, summary = r.bulk(zipped.String(), "Content-Encoding", "gzip")
	if len(got) != 3000 || summary != `{"summary":{"lines":3000,"accepted":3000,"failed":0}}` {
		t.Errorf("%d lines, %s", len(got), summary)
	}
	last := carillon.Seq(0)
	for _, a := range r.journal.all()[2:] { // one user's lines keep their order
		if a.at.Seq <= last {
			t.Fatal("order")
		}
		last = a.at.Seq
	}
}

func TestBulkSubscriptionID(t *testing.T) {
	r := newRig(t, gateway.Config{})
	sub := r.want(r.call("PUT", "/api/v1/users/dev.alice/endpoints/pc", r.app(), `{"platform":"polling"}`), 200).str("subscriptionId")
	l := strings.Replace(line("", ""), `"userId":""`, `"subscriptionId":"`+sub+`"`, 1)
	if got, _ := r.bulk(l); got[0]["id"] == nil || r.journal.last(t).key != host+"/dev.alice" {
		t.Errorf("%v", got)
	}
	r.want(r.call("DELETE", "/api/v1/users/dev.alice/endpoints/pc", r.app(), ""), 204)
	a := r.call("POST", bulk, r.app(), l+"\n"+line("dev.bob", ""), "Content-Type", "application/x-ndjson")
	if a.status != 200 || !strings.Contains(string(a.body), "revoked") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestBulkRefusals(t *testing.T) {
	r := newRig(t, gateway.Config{BulkBytes: 4096, BulkLines: 8, BulkBudgetBytes: 4096})
	nd := []string{"Content-Type", "application/x-ndjson"}
	post := func(tok, body string, headers ...string) *answer {
		t.Helper()
		return r.call("POST", bulk, tok, body, append(nd, headers...)...)
	}
	tok := r.app()
	r.refused(post("", line("dev.alice", "")), 401, "Authorization", "")
	r.refused(post(r.alice(), line("dev.alice", "")), 403, "Authorization", "app token")
	r.refused(r.call("POST", bulk, tok, line("dev.alice", "")), 415, "Content-Type", "application/x-ndjson")
	r.refused(post(tok, line("dev.alice", ""), "Idempotency-Key", "k"), 400, "Idempotency-Key", "idempotencyKey")
	r.refused(post(tok, line("dev.alice", ""), "If-Range", "k"), 400, "If-Range", "")
	r.refused(r.call("POST", bulk+"?validateOnly=true", tok, line("dev.alice", ""), nd...), 400, "validateOnly", "")
	r.refused(r.call("POST", bulk+"?validateonly=true", tok, line("dev.alice", ""), nd...), 400, "validateOnly", "")
	r.refused(post(tok, ""), 400, "", "no lines")
	r.refused(post(tok, "\n \n"), 400, "", "no lines")
	r.refused(post(tok, strings.Repeat("\n", 8)), 413, "", "at most 8")
	r.refused(post(tok, strings.Repeat("x", 4097)), 413, "", "4096")
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte{' '}, 1<<20))
	_ = z.Close()
	r.refused(post(tok, bomb.String(), "Content-Encoding", "gzip"), 413, "", "4096")
	r.refused(post(tok, "rubbish", "Content-Encoding", "gzip"), 400, "Content-Encoding", "")

	// A body that would not fit beside one that waits for the journal is
	// throttled, one that fits is not.
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	r.journal.set(func(j *fakeJournal) { j.hold, j.held = hold, held })
	first := make(chan *answer, 1)
	big := line("dev.alice", `,"x":"`+strings.Repeat("x", 2000)+`"`)
	go func() { first <- post(tok, big) }()
	r.await(held, first)
	a := post(tok, big)
	r.refused(a, 429, "", "under way")
	if a.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	close(hold)
	if a := <-first; a.status != 200 {
		t.Errorf("the first got %d %s", a.status, a.body)
	}
	r.journal.set(func(j *fakeJournal) { j.hold = nil })
	for range 3 { // what was held is given back, by refused ones too
		r.want(post(tok, big), 200)
		r.refused(post(tok, bomb.String(), "Content-Encoding", "gzip"), 413, "", "")
	}
}

func TestBulkJournalFaults(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.app()
	body := line("dev.alice", "") + "\nrubbish\n" + line("dev.bob", "") + "\n" + line("dev.carol", "")
	down := &carillon.Error{Code: carillon.CodeUnavailable, Message: "no broker", RetryAfter: time.Second}
	r.journal.set(func(j *fakeJournal) { j.fail = down })
	r.refused(r.call("POST", bulk, tok, body, "Content-Type", "application/x-ndjson"), 503, "", "no broker")
	r.journal.set(func(j *fakeJournal) {
		j.fail = nil
		j.each = func(e *journal.Entry) {
			if strings.HasSuffix(string(e.Key), "bob") {
				e.Err = down
			}
		}
	})
	got, summary := r.bulk(body)
	if len(got) != 4 || got[0]["id"] == nil || got[1]["error"] == nil || got[3]["id"] == nil || summary != `{"summary":{"lines":4,"accepted":2,"failed":2}}` {
		t.Fatalf("%v %s", got, summary)
	}
	if e := got[2]["error"].(map[string]any); e["code"] != "serviceNotAvailable" || e["line"] != 3.0 {
		t.Errorf("bob's line: %v", e)
	}
}

func TestBulkAtOnce(t *testing.T) {
	r := newRig(t, gateway.Config{})
	tok := r.token(auth.DevClaims{Client: client})
	done := make(chan *answer, 6)
	for w := range cap(done) {
		go func() {
			var b strings.Builder
			for i := range 400 {
				b.WriteString(line(fmt.Sprintf("dev.u%d", w), fmt.Sprintf(`,"groupName":"g\u0020%d-%d"`, w, i)) + "\n")
			}
			done <- r.call("POST", bulk, tok, b.String(), "Content-Type", "application/x-ndjson")
		}()
	}
	for range cap(done) {
		if a := <-done; a.status != 200 || !bytes.Contains(a.body, []byte(`"accepted":400,"failed":0`)) {
			t.Errorf("%d %.300s", a.status, a.body)
		}
	}
	next := map[string]int{}
	for _, a := range r.journal.all() {
		w := a.key[strings.LastIndexByte(a.key, 'u')+1:]
		if want := fmt.Sprintf("g %s-%d", w, next[w]); a.rec.Notification.Group != want {
			t.Fatalf("%s: %q, want %q", a.key, a.rec.Notification.Group, want)
		}
		next[w]++
	}
}
