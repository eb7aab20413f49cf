package gateway

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"carillon"
	"carillon/journal"
)

// BroadcastPrefix begins the keys of broadcasts' rows in the table of apps:
// "broadcast/<host>/<id>".
const BroadcastPrefix = "broadcast/"

// broadcastRow is what every process knows of a broadcast.
type broadcastRow struct {
	made
	Host string `json:"host"`
	ID   string `json:"id"`
	Key  string `json:"key,omitempty"`
	// Hash tells a repeat from another content under the same key.
	Hash []byte `json:"hash"`
	// Created is when it was posted first, Expires when its notifications end:
	// milliseconds since 1970.
	Created int64 `json:"created"`
	Expires int64 `json:"expires"`
	// Accepted are the user ids that were journalled, repeats too; Whole tells
	// that the last posting came to its end.
	Accepted int64 `json:"accepted"`
	Whole    bool  `json:"whole"`
	// Last is the seq of the last record in each partition, 0 where there is none.
	Last []carillon.Seq `json:"last,omitempty"`
	// Throttled tells that the last posting ended at the app's quota.
	Throttled bool `json:"throttled,omitempty"`

	Cancelled    bool `json:"cancelled,omitempty"`
	Paused       bool `json:"paused,omitempty"`
	MaxPerSecond int  `json:"maxPerSecond,omitempty"`
	// Recall is when it was recalled, RecallDone when that came to its end, and
	// Recalled how many users lost it: milliseconds since 1970.
	Recall     int64 `json:"recall,omitempty"`
	RecallDone int64 `json:"recallDone,omitempty"`
	Recalled   int64 `json:"recalled,omitempty"`
}

// steering is what the dispatchers are told.
func (b *broadcastRow) steering() carillon.Steering {
	s := carillon.Steering{MaxPerSecond: b.MaxPerSecond, Recalled: b.Recall != 0}
	switch {
	case b.Cancelled:
		s.State = carillon.BroadcastCancelled
	case b.Paused:
		s.State = carillon.BroadcastPaused
	}
	return s
}

// reached notes the last records that a posting journalled.
func (b *broadcastRow) reached(last []carillon.Seq) {
	b.Last = furthest(b.Last, last)
}

// furthest is the higher seq of each partition; neither slice is changed.
func furthest(a, b []carillon.Seq) []carillon.Seq {
	next := make([]carillon.Seq, max(len(a), len(b)))
	copy(next, a)
	for p, seq := range b {
		next[p] = max(next[p], seq)
	}
	return next
}

func (b *broadcastRow) key() string { return BroadcastPrefix + b.Host + "/" + b.ID }

// Broadcasts are those of all apps, as every process of the installation follows
// them. Safe for concurrent use.
type Broadcasts struct {
	log *slog.Logger
	// steer is told what is wanted of each.
	steer func(host, id string, to carillon.Steering)
	// recall wakes who takes recalled ones back.
	recall chan struct{}

	mu   sync.Mutex
	byID map[string]*broadcastRow
	raw  map[string]json.RawMessage
}

// NewBroadcasts makes an empty set. Steer, which must not block, is told what is
// wanted of each whenever its row comes.
func NewBroadcasts(steer func(host, id string, to carillon.Steering), log *slog.Logger) *Broadcasts {
	return &Broadcasts{
		steer: steer, recall: make(chan struct{}, 1), log: log, byID: map[string]*broadcastRow{}, raw: map[string]json.RawMessage{},
	}
}

// Apply takes in rows of the table.
func (b *Broadcasts) Apply(rows []journal.Row) {
	for _, row := range rows {
		host, id, ok := strings.Cut(strings.TrimPrefix(row.Key, BroadcastPrefix), "/")
		next, err := decodeRow[broadcastRow](row.Value)
		if !ok || err != nil || next != nil && next.key() != row.Key {
			b.log.Error("a row of a broadcast cannot be used", "row", row.Key, "error", err)
			continue
		}
		var to carillon.Steering
		b.mu.Lock()
		if next == nil {
			delete(b.byID, id)
			delete(b.raw, row.Key)
		} else {
			b.byID[id], b.raw[row.Key] = next, row.Value
			to = next.steering()
		}
		b.mu.Unlock()
		b.steer(host, id, to)
		if to.Recalled {
			select {
			case b.recall <- struct{}{}:
			default:
			}
		}
	}
}

// Rows are all of them, as a backup keeps them.
func (b *Broadcasts) Rows() map[string]json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := make(map[string]json.RawMessage, len(b.raw))
	maps.Copy(rows, b.raw)
	return rows
}

// find is a copy of a broadcast's row; false when there is none.
func (b *Broadcasts) find(id string) (broadcastRow, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.byID[id]
	if row == nil {
		return broadcastRow{}, false
	}
	return *row, true
}

// of counts an app's broadcasts and names the oldest whose notifications have all
// expired at now.
func (b *Broadcasts) of(host string, now int64) (live int, expired []broadcastRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range b.byID {
		switch {
		case row.Host != host:
		case row.Expires > now:
			live++
		default:
			expired = append(expired, *row)
		}
	}
	slices.SortFunc(expired, func(x, y broadcastRow) int { return cmp.Compare(x.Expires, y.Expires) })
	return live, expired
}

// newest are up to n broadcasts of an app, the newest first, from behind the one
// that after names ("": from the newest); more tells that others follow.
func (b *Broadcasts) newest(host, after string, n int) (rows []broadcastRow, more bool) {
	b.mu.Lock()
	for _, row := range b.byID {
		if row.Host == host {
			rows = append(rows, *row)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(rows, func(x, y broadcastRow) int { return cmp.Or(cmp.Compare(y.Created, x.Created), cmp.Compare(x.ID, y.ID)) })
	if after != "" {
		rows = rows[slices.IndexFunc(rows, func(row broadcastRow) bool { return row.ID == after })+1:]
	}
	more = len(rows) > n
	return rows[:min(len(rows), n)], more
}

// recalling are those that are recalled and not taken back yet.
func (b *Broadcasts) recalling() (rows []broadcastRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range b.byID {
		if row.Recall != 0 && row.RecallDone == 0 {
			rows = append(rows, *row)
		}
	}
	slices.SortFunc(rows, func(x, y broadcastRow) int { return cmp.Compare(x.Recall, y.Recall) })
	return rows
}
