package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"carillon"
	"carillon/journal"
)

// FuzzRegistration: what is taken is JSON, and its strings are those that
// encoding/json reads.
func FuzzRegistration(f *testing.F) {
	for _, seed := range []string{
		`{"host":"app.example.com","platform":"ios","address":"aabb","appId":"x","environment":"sandbox","locale":"de","push":"tapOnly"}`,
		`{"platform":"WebPush","x":[{}],"push":null}`, `{"platform":"ios","platform":"ios"}`, `{"address":"\u00e4\n"}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d registration
		if err := d.decode(body); err != nil {
			if err.Message == "" || err.Code != carillon.CodeInvalidRequest {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var std map[string]any
		if err := json.Unmarshal(body, &std); err != nil {
			t.Fatalf("%q was taken, but is no JSON: %v", body, err)
		}
		for name, got := range map[string]string{
			"address": d.endpoint.Address, "appId": d.endpoint.AppID, "environment": d.endpoint.Environment, "locale": d.endpoint.Locale,
		} {
			if want, _ := std[name].(string); got != want {
				t.Fatalf("%q: %s %q, want %q", body, name, got, want)
			}
		}
	})
}

// FuzzState: what is taken as a change or an acknowledgement is JSON that says
// something, and says what encoding/json reads; what is not tells why.
func FuzzState(f *testing.F) {
	for _, seed := range []string{
		`{"readState":true,"userActionState":"dismissed","@odata.type":"#x"}`, `{"readState":"Unread"}`, `{"before":"AQAD","readState":false}`,
		`{"ids":["00666c16-92a7-8f27-95fc-861aca96aa9e"],"userActionState":"None"}`, `{"position":"AQAD","opened":["00666c16-92a7-8f27-95fc-861aca96aa9e"],"x":[]}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var std map[string]any
		valid := json.Unmarshal(body, &std) == nil
		check := func(what string, err error, ids []carillon.ID, name, text, member string) {
			switch {
			case err != nil:
				if e := carillon.AsError(err); e.Message == "" || e.Code != carillon.CodeInvalidRequest {
					t.Errorf("%s: %q: %v", what, body, err)
				}
				return
			case !valid:
				t.Errorf("%s: %q was taken, but is no JSON", what, body)
			}
			list, _ := std[member].([]any)
			if want, _ := std[name].(string); text != want || len(ids) != len(list) || len(ids) > maxStateIDs {
				t.Errorf("%s: %q: %q, want %q; %d ids, want %d", what, body, text, want, len(ids), len(list))
			}
		}
		var one, many stateBody
		check("one", one.decode(body, false), nil, "", "", "")
		err := many.decode(body, true)
		check("many", err, many.ids, "before", many.before, "ids")
		if err == nil && many.change == (carillon.Change{}) {
			t.Errorf("%q changes nothing", body)
		}
		var ack ackBody
		check("ack", ack.decode(body), ack.ids, "position", ack.position, "opened")
	})
}

// FuzzBulk: every line that is not blank is answered in its place, every good
// one becomes a record that decodes to what a line alone would become, and the
// reply is JSON.
func FuzzBulk(f *testing.F) {
	f.Add([]byte(benchBody + "\n\n" + benchBody))
	f.Add([]byte(strings.Replace(benchBody, "app.", "\\u0061pp.", 1) + "\nrubbish\r\n" + strings.Replace(benchBody, "{", `{"idempotencyKey":"k\n","x":"\u00e4",`, 1)))
	f.Add([]byte(strings.Replace(benchBody, `"userId"`, `"userid"`, 1)))
	g, p, _ := benchBulk(f, "")
	work := &bulk{}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(body, []byte("subscriptionId")) {
			return // needs a store
		}
		if err := work.begin(body, 64, testNow); err != nil {
			return
		}
		g.readLines(work, p, body)
		if err := g.appendLines(t.Context(), work); err != nil {
			t.Fatal(err)
		}
		g.render(work, false)
		var lines [][]byte
		for l := range bytes.SplitSeq(body, []byte{'\n'}) {
			if l = bytes.TrimSpace(l); len(l) > 0 {
				lines = append(lines, l)
			}
		}
		reply := bytes.Split(bytes.TrimSuffix(work.reply, []byte{'\n'}), []byte{'\n'})
		if len(lines) != len(work.lines) || len(reply) != len(lines)+1 {
			t.Fatalf("%q: %d lines, %d seen, %d answers", body, len(lines), len(work.lines), len(reply))
		}
		next := 0
		for i, l := range work.lines {
			if !json.Valid(reply[i]) || l.bad != bytes.HasPrefix(reply[i], []byte(`{"error"`)) {
				t.Fatalf("%q: answer %q", lines[i], reply[i])
			}
			if l.bad {
				continue
			}
			checkRecord(t, lines[i], &work.entries[next])
			next++
		}
	})
}

func checkRecord(t *testing.T, line []byte, e *journal.Entry) {
	t.Helper()
	var d decoder
	if err := d.decode(line, true, testNow); err != nil {
		t.Fatalf("%q was taken as a bulk line, alone it is refused: %v", line, err)
	}
	var rec journal.Record
	if err := rec.Decode(e.Value); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	n := &rec.Notification
	if string(e.Key) != d.host+"/"+d.user || n.Title != d.n.Title || n.Body != d.n.Body || n.Raw != d.n.Raw ||
		!bytes.Equal(n.Extra, d.n.Extra) || !bytes.Equal(n.Options, d.n.Options) || n.Expires != d.n.Expires ||
		rec.HasRID != (d.key != "" || d.n.AppNotificationID != "") || n.ID.IsZero() == rec.HasRID {
		t.Fatalf("%q became %q %+v", line, e.Key, rec)
	}
}
