package client

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"
)

// NewBroadcast is one content for many users.
type NewBroadcast struct {
	// Key names the broadcast for its app, for good: posted again under it, by a
	// later process too, it rings nobody twice, and users that are new to it are
	// added. With "" it gets a key of its own.
	Key string `json:"key,omitempty"`
	// Notification has no AppNotificationID: each user's is named after Key.
	Notification Notification `json:"notification"`
}

// Users tells the users of a broadcast, by key, until yield returns false; an
// error ends it, and the broadcast with it. Each attempt calls it anew, and it
// begins with the first user again: a query that it makes itself, or a slice.
type Users func(yield func(userID string) bool) error

// UserIDs are these users.
func UserIDs(ids ...string) Users {
	return func(yield func(string) bool) error {
		for _, id := range ids {
			if !yield(id) {
				break
			}
		}
		return nil
	}
}

// Broadcast is how a broadcast stands.
type Broadcast struct {
	ID             string `json:"id"`
	TargetHostName string `json:"targetHostName"`
	Key            string `json:"key"`
	// State is running, paused, finished or cancelled.
	State string `json:"state"`
	// Accepted are the user ids that are journalled, repeats too. Whole tells that
	// the last posting came to its end.
	Accepted int64 `json:"accepted"`
	Whole    bool  `json:"whole"`
	// Notifications are the users that it reached, each has one; Planned are its
	// deliveries, Waiting those that are not over, Outcomes the others by class.
	Notifications int64 `json:"notifications"`
	// Scheduled are those of the notifications whose time has not come.
	Scheduled int64            `json:"scheduled"`
	Planned   int64            `json:"planned"`
	Waiting   int64            `json:"waiting"`
	Outcomes  map[string]int64 `json:"outcomes"`
	// MaxPerSecond is its pace, 0 for none. PerSecond is how many deliveries ended a
	// second, lately; ETA when the rest has at that rate, zero when nobody knows.
	MaxPerSecond int       `json:"maxPerSecond"`
	PerSecond    float64   `json:"ratePerSecond"`
	ETA          time.Time `json:"etaDateTime"`
	// BoundBy is what holds it up: paused, appPaused, maxPerSecond, provider or
	// quota; "" while nothing does.
	BoundBy string    `json:"boundBy"`
	Recall  *Recalled `json:"recall"` // nil when it was not
	Created time.Time `json:"createdDateTime"`
	Expires time.Time `json:"expirationDateTime"`
}

// Recalled is how far a recall is.
type Recalled struct {
	// State is running or finished.
	State string `json:"state"`
	// Notifications are the users that lost it, when it is finished.
	Notifications int64     `json:"notifications"`
	Asked         time.Time `json:"askedDateTime"`
}

var errUsers = errors.New("client: the users of the broadcast could not be told")

// Broadcast sends one content to many users. They are drawn as they are sent, a
// line each in one request, so that a slow service holds them up and any number
// will do; it returns when all are journalled, and how it goes on tells
// [Sender.GetBroadcast]. An attempt that fails for now is repeated as a whole.
// After an error what was journalled stays; the same call again, under its key,
// completes it. It waits for users to return.
func (s *Sender) Broadcast(ctx context.Context, n *NewBroadcast, users Users) (*Broadcast, error) {
	first := *n
	if first.Key == "" {
		first.Key = rand.Text()
	}
	head, err := json.Marshal(&first)
	if err != nil {
		return nil, err
	}
	var telling sync.WaitGroup
	defer telling.Wait()
	in := &call{method: http.MethodPost, path: broadcasts(), media: "application/x-ndjson", stream: func() io.ReadCloser {
		r, w := io.Pipe()
		telling.Go(func() { _ = w.CloseWithError(tell(w, head, users)) })
		return r
	}}
	var b Broadcast
	if err := s.c.json(ctx, in, &b); err != nil {
		return nil, err
	}
	return &b, nil
}

// tell writes a broadcast's lines. It ends early when nobody reads them any more.
func tell(out io.Writer, head []byte, users Users) error {
	w := bufio.NewWriterSize(out, 64<<10)
	_, gone := w.Write(append(head, '\n'))
	if gone != nil {
		return gone
	}
	err := users(func(id string) bool {
		var line []byte
		if line, gone = json.Marshal(id); gone == nil {
			_, gone = w.Write(append(line, '\n'))
		}
		return gone == nil
	})
	switch {
	case gone != nil:
		return gone
	case err != nil:
		return fmt.Errorf("%w: %w", errUsers, err)
	}
	return w.Flush()
}

func broadcasts(rest ...string) []string { return append([]string{"api", "v1", "broadcasts"}, rest...) }

// GetBroadcast is how a broadcast stands.
func (s *Sender) GetBroadcast(ctx context.Context, id string) (*Broadcast, error) {
	return s.steer(ctx, &call{method: http.MethodGet, path: broadcasts(id)})
}

func (s *Sender) steer(ctx context.Context, in *call) (*Broadcast, error) {
	var b Broadcast
	if err := s.c.json(ctx, in, &b); err != nil {
		return nil, err
	}
	return &b, nil
}

// Broadcasts are those of an app, the newest first; those whose notifications have
// all expired are forgotten one day. Host may be "" when the token's app has one.
// An error ends them.
func (s *Sender) Broadcasts(ctx context.Context, host string) iter.Seq2[*Broadcast, error] {
	return pages[Broadcast](hostQuery(host), func(query string, page any) error {
		return s.c.json(ctx, &call{method: http.MethodGet, path: broadcasts(), query: query}, page)
	})
}

func (s *Sender) patchBroadcast(ctx context.Context, id string, change map[string]any) (*Broadcast, error) {
	body, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	return s.steer(ctx, &call{method: http.MethodPatch, path: broadcasts(id), body: body})
}

// PauseBroadcast holds back what no vendor has, until it is resumed or expires.
// Other sends do not wait with it.
func (s *Sender) PauseBroadcast(ctx context.Context, id string) (*Broadcast, error) {
	return s.patchBroadcast(ctx, id, map[string]any{"state": "paused"})
}

// ResumeBroadcast lets a paused broadcast go on.
func (s *Sender) ResumeBroadcast(ctx context.Context, id string) (*Broadcast, error) {
	return s.patchBroadcast(ctx, id, map[string]any{"state": "running"})
}

// PaceBroadcast hands over at most so many of its deliveries a second; 0 is no
// bound.
func (s *Sender) PaceBroadcast(ctx context.Context, id string, maxPerSecond int) (*Broadcast, error) {
	change := map[string]any{"maxPerSecond": nil}
	if maxPerSecond != 0 {
		change["maxPerSecond"] = maxPerSecond
	}
	return s.patchBroadcast(ctx, id, change)
}

// CancelBroadcast ends it, for good: what no vendor has never rings.
func (s *Sender) CancelBroadcast(ctx context.Context, id string) (*Broadcast, error) {
	return s.patchBroadcast(ctx, id, map[string]any{"state": "cancelled"})
}

// RecallBroadcast cancels it and takes it from those who have it: it leaves their
// devices and histories, and [Broadcast].Recall says when that is done.
func (s *Sender) RecallBroadcast(ctx context.Context, id string) (*Broadcast, error) {
	return s.patchBroadcast(ctx, id, map[string]any{"recall": true})
}
