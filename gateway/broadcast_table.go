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
	Accepted  int64 `json:"accepted"`
	Whole     bool  `json:"whole"`
	Cancelled bool  `json:"cancelled,omitempty"`
}

func (b *broadcastRow) key() string { return BroadcastPrefix + b.Host + "/" + b.ID }

// Broadcasts are those of all apps, as every process of the installation follows
// them. Safe for concurrent use.
type Broadcasts struct {
	log *slog.Logger
	// steer is told how each stands.
	steer func(host, id string, state carillon.BroadcastState)

	mu   sync.Mutex
	byID map[string]*broadcastRow
	raw  map[string]json.RawMessage
}

// NewBroadcasts makes an empty set. Steer, which must not block, is told how each
// stands whenever its row comes.
func NewBroadcasts(steer func(host, id string, state carillon.BroadcastState), log *slog.Logger) *Broadcasts {
	return &Broadcasts{steer: steer, log: log, byID: map[string]*broadcastRow{}, raw: map[string]json.RawMessage{}}
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
		state := carillon.BroadcastRunning
		b.mu.Lock()
		if next == nil {
			delete(b.byID, id)
			delete(b.raw, row.Key)
		} else {
			b.byID[id], b.raw[row.Key] = next, row.Value
			if next.Cancelled {
				state = carillon.BroadcastCancelled
			}
		}
		b.mu.Unlock()
		b.steer(host, id, state)
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
