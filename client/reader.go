package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// Start is where a reader begins.
type Start uint8

// Where a reader begins: with what is there, or with what comes after its first
// batch was asked for.
const (
	Beginning Start = iota
	End
)

// StatusFilter keeps items by status.
type StatusFilter uint8

// The status filters.
const (
	AnyStatus StatusFilter = iota
	ActiveOnly
	DeletedOnly
)

// ReadFilter keeps items by read state.
type ReadFilter uint8

// The read state filters.
const (
	AnyReadState ReadFilter = iota
	UnreadOnly
	ReadOnly
)

// ReaderOptions are where a reader begins and what it keeps. What is deleted has
// no state any more: the last two filters let it pass. A filter also hides that
// an item left what it keeps.
type ReaderOptions struct {
	Start      Start
	Status     StatusFilter
	ReadState  ReadFilter
	UserAction Action // "" keeps any
}

func (o *ReaderOptions) keeps(c *Change) bool {
	if c.Kind != Changed {
		return o.Status != ActiveOnly
	}
	it := c.Item
	return o.Status != DeletedOnly &&
		(o.ReadState == AnyReadState || it.ReadState == (o.ReadState == ReadOnly)) &&
		(o.UserAction == "" || it.UserActionState == o.UserAction)
}

// Reader reads the changes of a user's notifications in batches. It is safe for
// concurrent use.
type Reader struct {
	d     *Device
	mu    sync.Mutex
	state readerState
}

// readerState is a reader between two batches.
type readerState struct {
	Options  ReaderOptions
	Query    string   // of the next page; "" before the first
	Pending  []Change `json:",omitempty"` // read, not handed out
	Position string   `json:",omitempty"`
}

// Reader is a new reader.
func (d *Device) Reader(o ReaderOptions) *Reader {
	return &Reader{d: d, state: readerState{Options: o}}
}

// ReaderWithState is the reader whose State that was.
func (d *Device) ReaderWithState(state string) (*Reader, error) {
	r := &Reader{d: d}
	if err := json.Unmarshal([]byte(state), &r.state); err != nil {
		return nil, fmt.Errorf("client: this is no reader's state: %w", err)
	}
	return r, nil
}

// State is the cursor behind the last batch, with filters; it holds content of
// notifications that were read and not handed out.
func (r *Reader) State() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := json.Marshal(&r.state)
	if err != nil { // it holds nothing that JSON cannot say
		panic(err)
	}
	return string(b)
}

// Position is how far the reader has the feed, for [Device.Ack]; "" while it
// holds changes that were not handed out.
func (r *Reader) Position() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.state.Pending) > 0 {
		return ""
	}
	return r.state.Position
}

// Expired tells that a reader's place is not kept any more. The reader stands at
// the beginning: what the next batches do not bring is gone.
func Expired(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusGone
}

// ReadBatch is up to max changes, oldest first; none when there is nothing new.
// After an error the same batch comes again, but see [Expired].
func (r *Reader) ReadBatch(ctx context.Context, limit int) ([]Change, error) {
	if limit < 1 {
		return nil, fmt.Errorf("client: a batch of %d changes cannot be read", limit)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.state.Pending) == 0 {
		more, err := r.page(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	n := min(limit, len(r.state.Pending))
	out := r.state.Pending[:n:n]
	r.state.Pending = r.state.Pending[n:]
	return out, nil
}

// page reads one page; more tells that another one follows at once.
func (r *Reader) page(ctx context.Context) (more bool, err error) {
	s := &r.state
	query := s.Query
	if query == "" {
		v := url.Values{"host": {r.d.opts.Host}}
		if s.Options.Start == End {
			v.Set("$deltatoken", "latest")
		}
		query = v.Encode()
	}
	var page struct {
		Position string            `json:"@carillon.position"`
		Value    []json.RawMessage `json:"value"`
		Next     string            `json:"@odata.nextLink"`
		Delta    string            `json:"@odata.deltaLink"`
	}
	err = r.d.call(ctx, &call{method: http.MethodGet, path: mine("delta"), query: query}, &page)
	if Expired(err) {
		s.Query, s.Pending, s.Position, s.Options.Start = "", nil, "", Beginning
	}
	if err != nil {
		return false, err
	}
	var got []Change
	for _, raw := range page.Value {
		c, err := readChange(raw)
		if err != nil {
			return false, err
		}
		if s.Options.keeps(&c) {
			got = append(got, c)
		}
	}
	s.Pending, s.Query = got, queryOf(page.Next+page.Delta)
	if page.Delta != "" {
		s.Position = page.Position
	}
	return page.Next != "", nil
}

// readChange reads an entry of a delta or a live feed.
func readChange(raw []byte) (Change, error) {
	var e struct {
		ID      string          `json:"id"`
		Removed json.RawMessage `json:"@removed"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Change{}, fmt.Errorf("client: an entry of the feed cannot be read: %w", err)
	}
	if e.Removed != nil {
		return Change{Kind: Removed, ID: e.ID}, nil
	}
	it := new(Item)
	if err := json.Unmarshal(raw, it); err != nil {
		return Change{}, fmt.Errorf("client: notification %s cannot be read: %w", e.ID, err)
	}
	return Change{Kind: Changed, ID: e.ID, Item: it}, nil
}
