//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	linearItems   = 6
	linearClients = 5
	linearOps     = 40 // each client's, on one item
	// linearDeleters are the clients that delete in the end, at about the same time.
	linearDeleters = 3
)

// itemState is what one item is in the model: what a GET answers.
type itemState struct {
	read    bool
	action  string
	deleted bool
	// etag is the one that somebody saw. Until somebody does it is "?", and behind
	// that those of earlier states: it is none of them.
	etag string
}

// may tells whether the state can have this ETag, must whether it has no other.
func (s itemState) may(etag string) bool {
	if over, ok := strings.CutPrefix(s.etag, "?"); ok {
		return !strings.Contains(over, etag)
	}
	return s.etag == etag
}

func (s itemState) must(etag string) bool { return s.etag == etag }

// changed is the ETag of the state that follows.
func (s itemState) changed() string { return "?" + strings.TrimPrefix(s.etag, "?") + " " }

// itemCall is one call, and itemAnswer what came of it. Of a call without an
// answer nobody knows whether it was done.
type itemCall struct {
	do      string // get, patch, delete
	read    *bool
	action  string
	ifMatch string
}

type itemAnswer struct {
	status int // 0: none came; 202: it is durable, and its verdict not known
	read   bool
	action string
	etag   string
}

// itemModel says what calls on one item may answer, one after the other.
func itemModel() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{itemState{action: "NoInteraction", etag: "?"}} },
		Step: func(state, input, output any) []any {
			return itemStep(state.(itemState), input.(itemCall), output.(itemAnswer))
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v → %+v", input, output)
		},
	}
	return model.ToModel()
}

// itemStep gives the states that a call may leave, none when it cannot have been
// answered so. A change that nobody sees leaves the ETag.
func itemStep(s itemState, c itemCall, a itemAnswer) []any {
	if c.do == "get" {
		switch {
		case a.status == 0:
			return []any{s}
		case a.status == 404:
			return when(s.deleted, s)
		case s.deleted || a.read != s.read || a.action != s.action || !s.may(a.etag):
			return nil
		}
		s.etag = a.etag
		return []any{s}
	}
	matches := c.ifMatch == "" || s.may(c.ifMatch)
	fails := c.ifMatch != "" && !s.must(c.ifMatch)
	next := s
	if c.do == "delete" {
		next = itemState{deleted: true}
	} else {
		if c.read != nil {
			next.read = *c.read
		}
		if c.action != "" {
			next.action = c.action
		}
		if next != s {
			next.etag = s.changed()
		}
	}
	switch a.status {
	case 0, 202:
		if s.deleted {
			return []any{s}
		}
		out := []any{s}
		if matches {
			out = append(out, next)
		}
		return out
	case 404:
		return when(s.deleted, s)
	case 412:
		return when(!s.deleted && fails, s)
	case 204:
		return when(!s.deleted && matches, next)
	}
	return when(!s.deleted && matches && c.do == "patch", next)
}

// told are the operations that an answer tells of: a change that was done to what
// is gone by now tells of both.
func told(op porcupine.Operation) []porcupine.Operation {
	out := []porcupine.Operation{op}
	if c, a := op.Input.(itemCall), op.Output.(itemAnswer); c.do == "patch" && a.status == 204 {
		op.Input, op.Output = itemCall{do: "get"}, itemAnswer{status: 404}
		out = append(out, op)
	}
	return out
}

func when(ok bool, s itemState) []any {
	if ok {
		return []any{s}
	}
	return nil
}

// recorder is the history of one item.
type recorder struct {
	mu    sync.Mutex
	begin time.Time
	ops   []porcupine.Operation
}

func (r *recorder) add(client int, c itemCall, a itemAnswer, call time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	back := time.Since(r.begin)
	if a.status == 0 || a.status == 202 {
		back = time.Hour // whenever it was done, if it was
	}
	r.ops = append(r.ops, told(porcupine.Operation{ClientId: client, Input: c, Output: a, Call: int64(call.Sub(r.begin)), Return: int64(back)})...)
}

// TestStateIsLinearizable changes and reads items from several clients at once,
// some changes conditional, while the gateway is killed: there is an order of all
// calls on an item, one that agrees with the time of each, in which every answer
// is right. Who reads brings the position of the last write that was answered to
// anybody; what is read without may be older, and is not of this history.
func TestStateIsLinearizable(t *testing.T) {
	random := dice(t)
	w := newTown(t, binary)
	var ids []string
	for range linearItems {
		r := w.try("POST", "/beta/users/dev.linear/notifications", visual("one of six", ""))
		if r.status != 201 {
			t.Fatalf("sending: %d %s", r.status, r.text)
		}
		ids = append(ids, r.str("id"))
	}
	// Positions are of one user, so of one partition: the newest that was answered
	// is what a reader must not be behind.
	newest := &newestPosition{}
	histories := make([]*recorder, linearItems)
	var clients sync.WaitGroup
	for i, id := range ids {
		histories[i] = &recorder{begin: time.Now()}
		for c := range linearClients {
			dice := rand.New(rand.NewPCG(random.Uint64(), uint64(c)))
			clients.Go(func() { linearClient(w, histories[i], newest, id, c, dice) })
		}
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for range 3 {
		w.rest(time.Duration(300+random.IntN(500)) * time.Millisecond)
		w.now.kill()
		w.killed.Add(1)
		w.up()
	}
	<-done
	unknown, refused, gone := 0, 0, 0
	for i, h := range histories {
		for _, op := range h.ops {
			switch op.Output.(itemAnswer).status {
			case 0, 202:
				unknown++
			case 412:
				refused++
			case 204:
				if op.Input.(itemCall).do == "patch" {
					gone++
				}
			}
		}
		begin := time.Now()
		switch porcupine.CheckOperationsTimeout(itemModel(), h.ops, 20*time.Second) {
		case porcupine.Illegal:
			t.Errorf("item %d: no order explains its %d calls", i, len(h.ops))
			for _, op := range h.ops {
				t.Logf("%d: %d–%d %+v → %+v", op.ClientId, op.Call/1000, op.Return/1000, op.Input, op.Output)
			}
		case porcupine.Unknown:
			t.Errorf("item %d: no order was found in %v", i, time.Since(begin))
		case porcupine.Ok:
		}
	}
	t.Logf("%d items, %d calls each, %d kills; %d calls without an answer, %d refused by If-Match, %d done before a deletion that came first with its answer", linearItems, len(histories[0].ops), w.killed.Load(), unknown, refused, gone)
	w.now.stop(t)
}

// newestPosition is the position of the last write that was answered.
type newestPosition struct {
	mu   sync.Mutex
	text string
}

func (p *newestPosition) get() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == "" {
		return nil
	}
	return []string{positionHeader, p.text}
}

func (p *newestPosition) set(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text != "" {
		p.text = text
	}
}

// linearClient makes calls on one item, one after the other.
func linearClient(w *town, h *recorder, newest *newestPosition, id string, client int, random *rand.Rand) {
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	own := &town{t: w.t, http: &http.Client{Transport: tr, Timeout: 5 * time.Second}, token: w.token}
	path, etag := "/beta/users/dev.linear/notifications/"+id, ""
	for n := range linearOps {
		own.url.Store(w.url.Load())
		c, body, headers, method := itemCall{do: "get"}, map[string]any(nil), []string{}, "GET"
		switch k := random.IntN(20); {
		case k < 9:
			headers = newest.get()
		case k < 12 && n > linearOps*3/4 && client < linearDeleters:
			c.do, method = "delete", "DELETE"
			if etag != "" && random.IntN(3) == 0 {
				c.ifMatch, headers = etag, []string{"If-Match", etag}
			}
		default:
			c.do, method, body = "patch", "PATCH", map[string]any{}
			if k%2 == 0 {
				read := random.IntN(2) == 0
				c.read, body["readState"] = &read, read
			}
			if k%2 == 1 || k%3 == 0 {
				c.action = []string{"NoInteraction", "Activated", "Dismissed", "Snoozed"}[random.IntN(4)]
				body["userActionState"] = c.action
			}
			if etag != "" && random.IntN(3) == 0 {
				c.ifMatch, headers = etag, []string{"If-Match", etag}
			}
		}
		call := time.Now()
		var in any
		if body != nil {
			in = body
		}
		r := own.try(method, path, in, headers...)
		a := itemAnswer{status: r.status, etag: r.header.Get("ETag")}
		var item struct {
			ReadState       bool
			UserActionState string
		}
		switch r.status {
		case 0, 429, 503: // a refusal may come after the journal took it
			if c.do != "get" && !strings.Contains(string(r.text), "connection refused") {
				h.add(client, c, itemAnswer{}, call)
			}
			w.rest(30 * time.Millisecond)
			continue
		case 200:
			if err := json.Unmarshal(r.text, &item); err != nil {
				w.t.Errorf("%s: %v", r.text, err)
			}
			a.read, a.action = item.ReadState, item.UserActionState
			etag = a.etag
		}
		newest.set(r.header.Get(positionHeader))
		h.add(client, c, a, call)
	}
}

// TestPlantedNonlinear: the model refuses what must not happen.
func TestPlantedNonlinear(t *testing.T) {
	yes, no := true, false
	op := func(call, back int64, c itemCall, a itemAnswer) porcupine.Operation {
		return porcupine.Operation{Input: c, Output: a, Call: call, Return: back}
	}
	get := func(call int64, read bool, action, etag string) porcupine.Operation {
		return op(call, call+1, itemCall{do: "get"}, itemAnswer{status: 200, read: read, action: action, etag: etag})
	}
	const none = "NoInteraction"
	read := op(1, 2, itemCall{do: "patch", read: &yes}, itemAnswer{status: 200})
	for name, c := range map[string]struct {
		ops []porcupine.Operation
		ok  bool
	}{
		"read, seen":           {[]porcupine.Operation{read, get(3, true, none, "b")}, true},
		"read, not seen":       {[]porcupine.Operation{read, get(3, false, none, "a")}, false},
		"read, overlapping":    {[]porcupine.Operation{read, get(2, false, none, "a")}, true},
		"seen, then not":       {[]porcupine.Operation{op(1, 9, itemCall{do: "patch", read: &yes}, itemAnswer{status: 200}), get(2, true, none, "b"), get(4, false, none, "a")}, false},
		"never answered, done": {[]porcupine.Operation{op(1, 99, itemCall{do: "patch", read: &yes}, itemAnswer{}), get(50, true, none, "b")}, true},
		"never answered, undone": {[]porcupine.Operation{
			op(1, 99, itemCall{do: "patch", read: &yes}, itemAnswer{}), get(50, true, none, "b"), get(60, false, none, "a"),
		}, false},
		"one change, two states under an ETag": {[]porcupine.Operation{get(1, false, none, "a"), op(3, 4, itemCall{do: "patch", read: &yes}, itemAnswer{status: 200}), get(5, true, none, "a"), get(7, false, none, "a")}, false},
		"both of two that expect the same": {[]porcupine.Operation{
			get(1, false, none, "a"),
			op(3, 5, itemCall{do: "patch", read: &yes, ifMatch: "a"}, itemAnswer{status: 200}),
			op(4, 6, itemCall{do: "patch", action: "Dismissed", ifMatch: "a"}, itemAnswer{status: 200}),
			get(7, true, "Dismissed", "b"),
		}, false},
		"one of two that expect the same": {[]porcupine.Operation{
			get(1, false, none, "a"),
			op(3, 5, itemCall{do: "patch", read: &yes, ifMatch: "a"}, itemAnswer{status: 200}),
			op(4, 6, itemCall{do: "patch", action: "Dismissed", ifMatch: "a"}, itemAnswer{status: 412}),
			get(7, true, none, "b"),
		}, true},
		"refused for nothing": {[]porcupine.Operation{get(1, false, none, "a"), op(3, 5, itemCall{do: "patch", read: &no, ifMatch: "a"}, itemAnswer{status: 412})}, false},
		"changed, deleted by the time of the answer": {[]porcupine.Operation{
			op(1, 9, itemCall{do: "patch", read: &yes}, itemAnswer{status: 204}), get(2, true, none, "b"), op(4, 6, itemCall{do: "delete"}, itemAnswer{status: 204}),
		}, true},
		"changed, gone, and there again": {[]porcupine.Operation{op(1, 2, itemCall{do: "patch", read: &yes}, itemAnswer{status: 204}), get(3, true, none, "b")}, false},
		"gone without a deletion":        {[]porcupine.Operation{op(1, 2, itemCall{do: "patch", read: &yes}, itemAnswer{status: 204})}, false},
		"changed, and told it was not": {[]porcupine.Operation{
			op(1, 9, itemCall{do: "patch", read: &yes}, itemAnswer{status: 404}), get(2, true, none, "b"), op(4, 6, itemCall{do: "delete"}, itemAnswer{status: 204}),
		}, false},
		"deleted by both of two": {[]porcupine.Operation{op(1, 4, itemCall{do: "delete"}, itemAnswer{status: 204}), op(2, 3, itemCall{do: "delete"}, itemAnswer{status: 204})}, false},
		"deleted by one of two":  {[]porcupine.Operation{op(1, 4, itemCall{do: "delete"}, itemAnswer{status: 204}), op(2, 3, itemCall{do: "delete"}, itemAnswer{status: 404})}, true},
		"back from the dead":     {[]porcupine.Operation{op(1, 2, itemCall{do: "delete"}, itemAnswer{status: 204}), get(3, false, none, "a")}, false},
	} {
		var ops []porcupine.Operation
		for _, op := range c.ops {
			ops = append(ops, told(op)...)
		}
		if got := porcupine.CheckOperations(itemModel(), ops); got != c.ok {
			t.Errorf("%s: the model says %t", strings.TrimSpace(name), got)
		}
	}
}
