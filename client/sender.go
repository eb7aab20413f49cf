package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// maxBulk is how many bytes a bulk request may have.
const maxBulk = 16 << 20

// Sender sends, recalls and asks what became of it. It takes an app token; the
// role Notifications.Send.
type Sender struct{ c *Client }

// Sender is the client as a sender.
func (c *Client) Sender() *Sender { return &Sender{c} }

// To names a user, by key ("tenant.object", "dev.alice") or by the subscription
// id of one of his devices: one of the two.
type To struct {
	UserID         string `json:"userId,omitempty"`
	SubscriptionID string `json:"subscriptionId,omitempty"`
}

// Send sends one notification and gives it back as it was stored. Key makes the
// send safe to repeat by a later process too; with "" it gets a key of its own.
func (s *Sender) Send(ctx context.Context, to To, n *Notification, key string) (*Item, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	if key == "" {
		key = rand.Text()
	}
	in := &call{method: http.MethodPost, path: []string{"beta", "me", "notifications"}, body: body, header: map[string]string{keyHeader: key}}
	switch {
	case (to.UserID == "") == (to.SubscriptionID == ""):
		return nil, errTo
	case to.UserID != "":
		in.path, in.of = []string{"beta", "users", to.UserID, "notifications"}, about(n.TargetHostName, to.UserID)
	default:
		in.header[subscriptionHeader] = to.SubscriptionID
	}
	var it Item
	return &it, s.c.json(ctx, in, &it)
}

var errTo = errors.New("client: To names a user by UserID or by SubscriptionID, one of them")

// json makes a call and reads its answer into out; an empty one leaves it.
func (c *Client) json(ctx context.Context, in *call, out any) error {
	a, err := c.do(ctx, in)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(a.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("client: the answer to %s %s cannot be read: %w", in.method, in.path[len(in.path)-1], err)
	}
	return nil
}

// Recall deletes a notification: it leaves the devices and the history. What is
// scheduled never rings.
func (s *Sender) Recall(ctx context.Context, host, userID, id string) error {
	_, err := s.c.do(ctx, &call{method: http.MethodDelete, path: []string{"beta", "users", userID, "notifications", id}, query: hostQuery(host), of: about(host, userID)})
	return err
}

func hostQuery(host string) string {
	if host == "" {
		return ""
	}
	return url.Values{"host": {host}}.Encode()
}

// Deliveries is what became of one notification.
type Deliveries struct {
	ID          string          `json:"id"`
	Position    string          `json:"position"`
	Accepted    time.Time       `json:"acceptedDateTime"`
	Note        string          `json:"note"`
	Deliveries  []Delivery      `json:"deliveries"`
	NotPlanned  json.RawMessage `json:"notPlanned"`
	ReadState   bool            `json:"readState"`
	ActionState Action          `json:"userActionState"`
}

// Delivery is one endpoint's outcome; Raw has every member.
type Delivery struct {
	Fetched bool            `json:"fetched"`
	Opened  time.Time       `json:"openedDateTime"`
	Raw     json.RawMessage `json:"-"`
}

// UnmarshalJSON keeps the whole beside the known members.
func (d *Delivery) UnmarshalJSON(b []byte) error {
	type plain Delivery
	if err := json.Unmarshal(b, (*plain)(d)); err != nil {
		return err
	}
	d.Raw = bytes.Clone(b)
	return nil
}

// Deliveries tells why a notification did, or did not, arrive.
func (s *Sender) Deliveries(ctx context.Context, host, userID, id string) (*Deliveries, error) {
	var d Deliveries
	in := &call{method: http.MethodGet, path: []string{"api", "v1", "users", userID, "notifications", id, "deliveries"}, query: hostQuery(host), of: about(host, userID)}
	return &d, s.c.json(ctx, in, &d)
}

// Line is one notification of a bulk send. Key is as in [Sender.Send].
type Line struct {
	To
	Notification
	Key string `json:"idempotencyKey"`
}

// Result is what became of a line: its id, or an error.
type Result struct {
	// Line counts from 0, in the order of the input.
	Line    int
	ID, Key string
	Err     error
}

// Bulk sends many. Lines are drawn as they are sent: a batch at a time is in
// memory and in flight, so that a slow service holds up the lines; it leaves
// when it is full or the lines end. Each line gives one result, in order. A
// batch is repeated as a whole, and lines that failed for now are repeated alone:
// their keys keep them from ringing twice. Lines of one user keep their order,
// but for one that the journal refused among others and that came in later.
// Breaking off the results sends no further batch.
func (s *Sender) Bulk(ctx context.Context, lines iter.Seq[Line]) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		var b batch
		n := 0
		for l := range lines {
			if l.Key == "" {
				l.Key = rand.Text()
			}
			r := Result{Line: n, Key: l.Key}
			n++
			body, err := json.Marshal(&l)
			body = append(body, '\n')
			if err == nil && len(body) > maxBulk {
				err = fmt.Errorf("client: line %d has %d bytes, at most %d fit into a request", r.Line, len(body), maxBulk)
			}
			if r.Err = err; err != nil {
				body = nil
			}
			if len(b.results) == s.c.opts.BulkLines || b.bytes+len(body) > maxBulk {
				if !s.flush(ctx, &b, yield) {
					return
				}
			}
			b.results, b.bodies, b.bytes = append(b.results, r), append(b.bodies, body), b.bytes+len(body)
		}
		s.flush(ctx, &b, yield)
	}
}

// batch is the lines of one request on their way.
type batch struct {
	results []Result
	bodies  [][]byte
	bytes   int
}

// flush sends the batch, tells its results and empties it; false when nobody
// wants more.
func (s *Sender) flush(ctx context.Context, b *batch, yield func(Result) bool) bool {
	open := make([]int, 0, len(b.results))
	for i := range b.results {
		if b.results[i].Err == nil {
			open = append(open, i)
		}
	}
	for attempt := 1; len(open) > 0; attempt++ {
		if open = s.round(ctx, b, open); len(open) == 0 || attempt == s.c.opts.Attempts {
			break
		}
		if s.c.opts.Clock.Sleep(ctx, s.c.backoff(attempt, 0)) != nil {
			break
		}
	}
	for _, r := range b.results {
		if !yield(r) {
			return false
		}
	}
	b.results, b.bodies, b.bytes = b.results[:0], b.bodies[:0], 0
	return true
}

// round sends those lines once and returns the ones that may be sent again.
func (s *Sender) round(ctx context.Context, b *batch, open []int) (again []int) {
	var body []byte
	for _, i := range open {
		body = append(body, b.bodies[i]...)
	}
	var told []told
	in := &call{
		method: http.MethodPost, path: []string{"api", "v1", "notifications"}, body: body, media: "application/x-ndjson",
		check: func(answer []byte) (err error) {
			told, err = readTold(answer, len(open))
			return err
		},
	}
	_, err := s.c.do(ctx, in)
	for at, i := range open {
		r := &b.results[i]
		if r.Err = err; err != nil {
			continue
		}
		r.ID = told[at].ID
		if f := told[at].Error; f != nil {
			e := &Error{Code: f.Code, Message: f.Message, Target: f.Target}
			if r.Err = e; e.Temporary() {
				again = append(again, i)
			}
		}
	}
	return again
}

// told is one line of a bulk answer.
type told struct {
	ID      string          `json:"id"`
	Error   *fault          `json:"error"`
	Summary json.RawMessage `json:"summary"`
}

// readTold reads a bulk answer, which has a line for each line and the summary.
func readTold(answer []byte, lines int) ([]told, error) {
	out := make([]told, 0, lines)
	for line := range bytes.Lines(answer) {
		var t told
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("client: line %d of the bulk answer cannot be read: %w", len(out)+1, err)
		}
		if t.Summary != nil {
			if len(out) == lines {
				return out, nil
			}
			break
		}
		out = append(out, t)
	}
	return nil, fmt.Errorf("client: the bulk answer tells of %d lines, %d were sent", len(out), lines)
}
