package gateway_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"carillon"
	"carillon/gateway"
	"carillon/internal/auth"
	"carillon/journal"
)

// castTable applies what is put at once.
type castTable struct{ casts *gateway.Broadcasts }

func (l castTable) Put(_ context.Context, rows ...journal.Row) error {
	l.casts.Apply(rows)
	return nil
}

func newCastRig(t *testing.T) (r *rig, states map[string]carillon.BroadcastState) {
	t.Helper()
	states = map[string]carillon.BroadcastState{}
	casts := gateway.NewBroadcasts(func(_, id string, s carillon.BroadcastState) { states[id] = s }, slog.New(slog.DiscardHandler))
	return newRigWith(t, gateway.Config{}, func(d *gateway.Deps) {
		d.Broadcasts, d.Table = casts, castTable{casts}
		d.BroadcastCounts = func(string, string) (carillon.BroadcastCounts, error) {
			return carillon.BroadcastCounts{Notifications: 2, Planned: 3, Terminal: [carillon.Classes]int64{carillon.Accepted: 1}}, nil
		}
	}), states
}

func TestBroadcastDoor(t *testing.T) {
	r, states := newCastRig(t)
	tok := r.app()
	const note = `"notification":{"targetHostName":"app.example.com","payload":{"rawContent":"hello"}}`
	a := r.want(r.call("POST", "/api/v1/broadcasts", tok, `{"key":"spring","userIds":["dev.alice","dev.bob"],`+note+`}`), 202)
	id := a.str("id")
	if a.header.Get("Location") != "/api/v1/broadcasts/"+id || !strings.Contains(string(a.body), `"accepted":2,"whole":true`) || !strings.Contains(string(a.body), `"waiting":2`) {
		t.Errorf("%s", a.body)
	}
	first := r.journal.all()
	lines := "{\"key\":\"spring\"," + note + "}\n\"dev.bob\"\n\n{\"userId\":\"dev.alice\"}"
	if b := r.want(r.call("POST", "/api/v1/broadcasts", tok, lines, "Content-Type", "application/x-ndjson"), 202); b.str("id") != id {
		t.Errorf("posted again: %s", b.body)
	}
	again := r.journal.all()[len(first):]
	if len(first) != 2 || len(again) != 2 || first[0].key != again[1].key || first[0].rec.Notification.ID != again[1].rec.Notification.ID ||
		first[0].rec.Notification.Broadcast != id || first[0].rec.Notification.Expires != again[1].rec.Notification.Expires || first[0].rec.HasRID {
		t.Errorf("journalled %+v and %+v", first, again)
	}
	for _, tt := range []struct {
		body   string
		status int
		target string
		says   string
	}{
		{`{"key":"spring","userIds":[],` + strings.Replace(note, "hello", "bye", 1) + `}`, 422, "key", "another content"},
		{`{"userIds":["dev.alice",""],` + note + `}`, 400, "userId", "post the whole again"},
		{`{"users":[],` + note + `}`, 400, "", "no member"},
		{`{"userIds":["dev.alice"]}`, 400, "", "empty"},
		{`{"notification":{"targetHostName":"app.example.com","payload":{}}}`, 400, "notification.payload", "rawContent"},
		{`{"userIds":["dev.alice"],` + strings.Replace(note, "app.example", "foreign.example", 1) + `}`, 403, "notification.targetHostName", "may not act"},
	} {
		r.refused(r.call("POST", "/api/v1/broadcasts", tok, tt.body), tt.status, tt.target, tt.says)
	}
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines+"\n17\n", "Content-Type", "application/x-ndjson"), 400, "userId", "line 5")
	path := "/api/v1/broadcasts/" + id
	r.refused(r.call("GET", path, r.token(auth.DevClaims{Client: "client-3"}), ""), 404, "bid", "no broadcast")
	r.refused(r.call("PATCH", path, tok, `{"state":"paused"}`), 501, "", "not built yet")
	r.refused(r.call("PATCH", path, tok, `{"state":"gone"}`), 400, "state", "gone")
	for range 2 {
		if a := r.want(r.call("PATCH", path, tok, `{"state":"cancelled"}`), 200); a.str("state") != "cancelled" || states[id] != carillon.BroadcastCancelled {
			t.Errorf("%s", a.body)
		}
	}
	r.refused(r.call("PATCH", path, tok, `{"state":"running"}`), 409, "state", "for good")
	r.refused(r.call("POST", "/api/v1/broadcasts", tok, lines, "Content-Type", "application/x-ndjson"), 409, "key", "cancelled")
}
