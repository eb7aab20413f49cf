package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// sent sends one and returns its id.
func (r *rig) sent(fields string) string {
	r.t.Helper()
	a := r.want(r.call("POST", "/beta/me/notifications", r.alice(), `{"targetHostName":"`+host+`","payload":{"rawContent":"x"}`+fields+`}`), 201)
	return a.str("id")
}

func (r *rig) subscription(token, installation string) string {
	r.t.Helper()
	a := r.want(r.call("PUT", "/api/v1/me/endpoints/"+installation, token, `{"host":"`+host+`","platform":"polling"}`), 200)
	return a.str("subscriptionId")
}

func TestPatchChangesState(t *testing.T) {
	r := newRig(t, gateway.Config{})
	phone := r.subscription(r.alice(), "phone")
	id := r.sent("")
	path := "/beta/me/notifications/" + id
	a := r.want(r.call("PATCH", path, r.alice(), `{"readState":true,"userActionState":"dismissed","@odata.type":"#x"}`, "X-UNS-ID", phone), 200)
	if a.object()["readState"] != true || a.str("userActionState") != "Dismissed" || a.str("status") != "Updated" || a.str("id") != id {
		t.Errorf("answered %s", a.body)
	}
	rec := r.journal.last(t)
	pos, err := httpapi.DecodePosition(a.header.Get("ReadWriteConsistencyToken"))
	if err != nil || pos != rec.at {
		t.Errorf("the position is %v, %v, want %v", pos, err, rec.at)
	}
	if c := rec.rec.Change; rec.rec.Kind != journal.KindChange || c.Installation != "phone" || c.Read != carillon.Set || c.Action != carillon.Dismissed || c.ID.String() != id {
		t.Errorf("journalled %+v", rec.rec)
	}
	a = r.want(r.call("PATCH", strings.Replace(path, "/me/", "/users/dev.alice/", 1), r.alice(), `{"readState":"Unread"}`), 200)
	if a.object()["readState"] != false || a.str("userActionState") != "Dismissed" {
		t.Errorf("answered %s", a.body)
	}
	if a = r.want(r.call("DELETE", path, r.alice(), "", "X-UNS-ID", phone), 204); a.header.Get("ReadWriteConsistencyToken") == "" {
		t.Error("a deletion without a position")
	}
	if d := r.journal.last(t).rec.Delete; d.ID.String() != id || d.Installation != "phone" {
		t.Errorf("journalled %+v", d)
	}
	r.refused(r.call("DELETE", path, r.alice(), ""), 404, "id", "deleted")
	r.refused(r.call("PATCH", path, r.alice(), `{"readState":true}`), 404, "id", id)
}

// TestChangesOfOneBatch: calls that are applied together are each told their own
// fate, whatever the others made of the notification by then.
func TestChangesOfOneBatch(t *testing.T) {
	const read = `PATCH {"readState":true}`
	again := `POST {"targetHostName":"` + host + `","appNotificationId":"again","payload":{"rawContent":"x"}}`
	for name, calls := range map[string][]struct {
		call   string
		status int
	}{
		"changed, then deleted":               {{read, 204}, {"DELETE", 204}},
		"changed on condition, then deleted":  {{read + " if", 204}, {"DELETE", 204}},
		"changed, then another in its place":  {{read, 204}, {"DELETE", 204}, {again, 201}},
		"changed in its place":                {{"DELETE", 204}, {again, 201}, {read, 200}},
		"deleted, then changed":               {{"DELETE", 204}, {read, 404}},
		"deleted, then changed on condition":  {{"DELETE", 204}, {read + " if", 404}},
		"deleted twice":                       {{"DELETE", 204}, {"DELETE", 404}},
		"deleted twice, the first by version": {{"DELETE if", 204}, {"DELETE", 404}},
		"deleted twice, the second":           {{"DELETE", 204}, {"DELETE if", 404}},
		"changed twice":                       {{read, 200}, {read, 200}},
		"changed, then gone":                  {{read, 204}, {"gone", 0}},
		"changed on condition, then gone":     {{read + " if", 204}, {"gone", 0}},
		"deleted, then gone":                  {{"DELETE", 202}, {"gone", 0}},
		"deleted on condition, then gone":     {{"DELETE if", 204}, {"gone", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, gateway.Config{})
			id := r.sent(`,"appNotificationId":"again"`)
			path := "/beta/me/notifications/" + id
			tag := r.want(r.call("PATCH", path, r.alice(), `{"userActionState":"Snoozed"}`), 200).header.Get("ETag")
			r.journal.set(func(j *fakeJournal) { j.lag = true })
			from := len(r.journal.all())
			answers := make([]chan *answer, len(calls))
			var batch []*appended
			for i, c := range calls {
				if c.call == "gone" {
					continue
				}
				what, conditional := strings.CutSuffix(c.call, " if")
				method, body, _ := strings.Cut(what, " ")
				at, headers := path, []string(nil)
				if conditional {
					headers = []string{"If-Match", tag}
				}
				if method == "POST" {
					at = "/beta/me/notifications"
				}
				answers[i] = make(chan *answer, 1)
				go func() { answers[i] <- r.call(method, at, r.alice(), body, headers...) }()
				for len(batch) <= i {
					if all := r.journal.all()[from:]; len(all) > i {
						batch = append(batch, &all[i])
					}
					runtime.Gosched()
				}
			}
			r.store.apply(calls[len(calls)-1].call == "gone", batch...)
			for i, c := range calls {
				if answers[i] != nil {
					if a := <-answers[i]; a.status != c.status {
						t.Errorf("%s: %d %s, want %d", c.call, a.status, a.body, c.status)
					}
				}
			}
		})
	}
}

// tellsWaits tells whoever is waited for.
type tellsWaits struct {
	gateway.Applied

	waits chan carillon.Position
}

func (w tellsWaits) Wait(ctx context.Context, pos carillon.Position) error {
	w.waits <- pos
	return w.Applied.Wait(ctx, pos)
}

// TestChangeOfKeyed: a change of a notification with a derived id that is
// journalled and not applied yet waits for it; one that nobody sent is not waited
// for, not even while others are sent.
func TestChangeOfKeyed(t *testing.T) {
	for name, send := range map[string]func(r *rig) string{
		"appNotificationId": func(r *rig) string { return r.sent(`,"appNotificationId":"key"`) },
		"Idempotency-Key": func(r *rig) string {
			return r.want(r.call("POST", "/beta/me/notifications", r.alice(), visual(""), "Idempotency-Key", "key"), 201).str("id")
		},
		"bulk": func(r *rig) string {
			lines := "x\n" + `{"userId":"dev.alice","targetHostName":"` + host + `","idempotencyKey":"key","payload":{"rawContent":"x"}}`
			a := r.want(r.call("POST", "/api/v1/notifications", r.app(), lines, "Content-Type", "application/x-ndjson"), 200)
			for line := range strings.Lines(string(a.body)) {
				var got struct{ ID string }
				if json.Unmarshal([]byte(line), &got) == nil && got.ID != "" {
					return got.ID
				}
			}
			t.Errorf("no id in %s", a.body)
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			waits := make(chan carillon.Position, 8)
			r := newRigWith(t, gateway.Config{}, func(d *gateway.Deps) { d.Applied = tellsWaits{d.Applied, waits} })
			r.journal.set(func(j *fakeJournal) { j.lag = true })
			id := send(r)
			sent := r.journal.last(t)
			bob := r.token(auth.DevClaims{User: "bob", Client: client})
			r.want(r.call("PATCH", "/beta/me/notifications/"+id, bob, `{"readState":true}`), 404)
			if len(waits) > 0 {
				t.Error("another user's unknown id was waited for")
			}
			answered := make(chan *answer, 1)
			go func() {
				answered <- r.call("PATCH", "/beta/me/notifications/"+id, r.alice(), `{"readState":true}`)
			}()
			select {
			case a := <-answered:
				t.Fatalf("answered before it is applied: %d %s", a.status, a.body)
			case pos := <-waits:
				if pos != sent.at {
					t.Errorf("waits for %v, want %v", pos, sent.at)
				}
			}
			r.journal.set(func(j *fakeJournal) { j.lag = false })
			r.store.apply(false, &sent)
			r.want(<-answered, 200)
		})
	}
}

func TestIfMatch(t *testing.T) {
	r := newRig(t, gateway.Config{})
	path := "/beta/me/notifications/" + r.sent("")
	a := r.want(r.call("PATCH", path, r.alice(), `{"readState":true}`), 200)
	tag := a.header.Get("ETag")
	r.want(r.call("PATCH", path, r.alice(), `{"userActionState":"Snoozed"}`, "If-Match", tag), 200)
	r.refused(r.call("PATCH", path, r.alice(), `{"userActionState":"Activated"}`, "If-Match", tag), 412, "If-Match", "changed since")
	r.refused(r.call("DELETE", path, r.alice(), "", "If-Match", tag), 412, "If-Match", "changed since")
	r.refused(r.call("DELETE", path, r.alice(), "", "If-Match", "42"), 412, "If-Match", "ETag")
	r.want(r.call("PATCH", path, r.alice(), `{"userActionState":"None"}`, "If-Match", "*"), 200)

	r.journal.set(func(j *fakeJournal) { j.lag = true }) // nobody applies: durable, its outcome unknown
	if a := r.want(r.call("PATCH", path, r.alice(), `{"readState":false}`, "If-Match", tag), 202); a.header.Get("ReadWriteConsistencyToken") == "" {
		t.Error("accepted without a position")
	}
}

func TestWhoMayChangeState(t *testing.T) {
	r := newRig(t, gateway.Config{})
	phone := r.subscription(r.alice(), "phone")
	id := r.sent("")
	mine, theirs := "/beta/me/notifications/"+id, "/beta/users/dev.alice/notifications/"+id
	set := `{"readState":true}`
	bob := r.token(auth.DevClaims{User: "bob", Client: client})
	app, foreign := r.app(), r.token(auth.DevClaims{Client: "client-3"})
	r.refused(r.call("PATCH", theirs, bob, set), 403, "userId", "own user")
	r.refused(r.call("PATCH", mine, bob, set), 404, "id", id)
	r.refused(r.call("PATCH", mine, app, set), 400, "X-UNS-ID", "X-UNS-ID")
	r.refused(r.call("PATCH", mine, bob, set, "X-UNS-ID", phone), 403, "X-UNS-ID", "not one of this user")
	r.refused(r.call("PATCH", theirs, foreign, set), 404, "id", id)
	r.refused(r.call("PATCH", theirs, foreign, set, "X-UNS-ID", phone), 403, "host", "may not act")
	r.want(r.call("PATCH", theirs, app, set), 200)
	r.want(r.call("PATCH", mine, app, set, "X-UNS-ID", phone), 200)
	r.want(r.call("DELETE", "/api/v1/me/endpoints/phone?host="+host, r.alice(), ""), 204)
	r.refused(r.call("PATCH", mine, r.alice(), set, "X-UNS-ID", phone), 403, "X-UNS-ID", "revoked")
	r.want(r.call("DELETE", theirs, app, ""), 204) // a recall
}

func TestStateOfMany(t *testing.T) {
	r := newRig(t, gateway.Config{})
	phone := r.subscription(r.alice(), "phone")
	var ids []string
	for range 3 {
		ids = append(ids, r.sent(""))
	}
	const path = "/api/v1/me/notifications/state"
	list := `"` + strings.Join(ids, `","`) + `"`
	from := len(r.journal.all())
	a := r.want(r.call("POST", path, r.alice(), `{"ids":[`+list+`],"readState":true}`, "X-UNS-ID", phone), 202)
	recs := r.journal.all()[from:]
	if len(recs) != 3 {
		t.Fatalf("%d records", len(recs))
	}
	for i, rec := range recs {
		if c := rec.rec.Change; c.ID.String() != ids[i] || c.More != (i < 2) || c.Read != carillon.Set || c.Installation != "phone" {
			t.Errorf("record %d: %+v", i, c)
		}
	}
	token := a.str("position")
	if pos, err := httpapi.DecodePosition(token); err != nil || pos != recs[2].at {
		t.Errorf("position %v, %v", pos, err)
	}
	r.want(r.call("POST", path, r.alice(), `{"before":"`+token+`","userActionState":"Dismissed"}`), 202)
	if c := r.journal.last(t).rec.Change; c.Floor != recs[2].at.Seq+1 || !c.ID.IsZero() || !c.HasAction {
		t.Errorf("journalled %+v", c)
	}
	elsewhere := httpapi.EncodePosition(carillon.Position{Partition: (recs[2].at.Partition + 1) % partitions, Seq: recs[2].at.Seq})
	for body, want := range map[string][2]string{
		`{"ids":[` + list + `]}`:      {"", "neither"},
		`{"readState":true}`:          {"ids", "either ids or before"},
		`{"ids":[],"readState":true}`: {"ids", "either ids or before"},
		`{"ids":[` + list + `],"before":"` + token + `","readState":true}`: {"ids", "either ids or before"},
		`{"ids":["x"],"readState":true}`:                                   {"ids", "not a notification id"},
		`{"ids":"x","readState":true}`:                                     {"ids", "array"},
		`{"before":"` + elsewhere + `","readState":true}`:                  {"before", "not a position of this user"},
		`{"before":"x","readState":true}`:                                  {"before", "not a position"},
		`{"before":7,"readState":true}`:                                    {"before", "string"},
		`{"readState":1,"ids":[` + list + `]}`:                             {"readState", "true or false"},
		`{"readState":"maybe","ids":[` + list + `]}`:                       {"readState", "maybe"},
		`{"userActionState":"Gone","ids":[` + list + `]}`:                  {"userActionState", "Dismissed"},
		`{"readState":true,"readState":true,"ids":[` + list + `]}`:         {"readState", "twice"},
		`{"readState":true,"priority":"High","ids":[` + list + `]}`:        {"priority", "cannot be changed"},
		`[]`: {"", "object"},
		`{"readState":true,"ids":[` + list + `]} x`:                                       {"", "behind"},
		`{"readState":true,"ids":[` + strings.Repeat(`"`+ids[0]+`",`, 1000) + list + `]}`: {"ids", "1000"},
	} {
		a := r.call("POST", path, r.alice(), body)
		r.refused(a, 400, want[0], want[1])
	}
	r.refused(r.call("PATCH", "/beta/me/notifications/"+ids[0], r.alice(), `{"readState":true,"ids":[]}`), 400, "ids", "cannot be changed")
}

func TestAck(t *testing.T) {
	r := newRig(t, gateway.Config{})
	phone := r.subscription(r.alice(), "phone")
	joined := r.journal.last(t)
	id := r.sent("")
	at := r.journal.last(t).at
	const path = "/api/v1/me/feed/ack"
	body := fmt.Sprintf(`{"position":%q,"opened":[%q]}`, httpapi.EncodePosition(at), id)
	r.refused(r.call("POST", path, r.alice(), body), 400, "X-UNS-ID", "which endpoint")
	r.want(r.call("POST", path, r.alice(), body, "X-UNS-ID", phone), 202)
	a := r.journal.last(t).rec.Ack
	if a.Installation != "phone" || a.Incarnation != joined.at.Seq || a.Position != at.Seq || len(a.Opened) != 1 || a.Opened[0].String() != id {
		t.Errorf("journalled %+v", a)
	}
	r.refused(r.call("POST", path, r.alice(), `{}`, "X-UNS-ID", phone), 400, "position", "neither")
	r.refused(r.call("POST", path, r.alice(), `{"opened":[7]}`, "X-UNS-ID", phone), 400, "opened", "string")
}
