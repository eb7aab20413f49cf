package gateway

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// maxBroadcasts is how many broadcasts of an app may have notifications that did
// not expire.
const maxBroadcasts = 1000

// broadcastAnswer is how a broadcast stands.
type broadcastAnswer struct {
	ID    string `json:"id"`
	Host  string `json:"targetHostName"`
	Key   string `json:"key,omitempty"`
	State string `json:"state"` // "running", "finished" or "cancelled"
	// Accepted are the user ids that were journalled, repeats too.
	Accepted int64 `json:"accepted"`
	Whole    bool  `json:"whole"`
	// Notifications are the users reached: each has one.
	Notifications int64            `json:"notifications"`
	Planned       int64            `json:"planned"`
	Waiting       int64            `json:"waiting"`
	Outcomes      map[string]int64 `json:"outcomes"`
	Created       string           `json:"createdDateTime"`
	Expires       string           `json:"expirationDateTime"`
}

// caster admits apps that may send.
func (g *Gateway) caster(r *httpapi.Request) (*auth.Principal, error) {
	p, err := g.caller(r)
	switch {
	case err != nil:
		return nil, err
	case p.UserID != "" || !p.HasRole(auth.RoleSend):
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "broadcasts take an app token with the role %s", auth.RoleSend)
	case g.deps.Broadcasts == nil:
		return nil, carillon.Errorf(carillon.CodeNotImplemented, "", "broadcasts: this process has no table of them")
	}
	return p, nil
}

// cast finds the broadcast that a call is about. One of another app is as one
// that does not exist.
func (g *Gateway) cast(r *httpapi.Request) (row broadcastRow, client string, err error) {
	p, err := g.caster(r)
	if err != nil {
		return row, "", err
	}
	row, ok := g.deps.Broadcasts.find(strings.ToLower(r.Param("bid")))
	if ok {
		_, err = g.owned(p, row.Host, "bid")
	}
	if !ok || err != nil {
		return row, "", carillon.Errorf(carillon.CodeNotFound, "bid", "this app has no broadcast %.40q", r.Param("bid"))
	}
	return row, p.Client, nil
}

// getBroadcast is GET /api/v1/broadcasts/{bid}.
func (g *Gateway) getBroadcast(r *httpapi.Request) error {
	row, _, err := g.cast(r)
	if err != nil {
		return err
	}
	return g.describe(r, 200, &row)
}

// describe answers with how a broadcast stands.
func (g *Gateway) describe(r *httpapi.Request, status int, row *broadcastRow) error {
	c, err := g.deps.BroadcastCounts(row.Host, row.ID)
	if err != nil {
		return unreadable(err)
	}
	a := broadcastAnswer{
		ID: row.ID, Host: row.Host, Key: row.Key, State: carillon.BroadcastRunning.String(), Accepted: row.Accepted, Whole: row.Whole,
		Notifications: c.Notifications, Planned: c.Planned, Waiting: c.Planned - c.Ended(), Outcomes: map[string]int64{},
		Created: dateTime(row.Created), Expires: dateTime(row.Expires),
	}
	if row.Cancelled {
		a.State = carillon.BroadcastCancelled.String()
	}
	for class, n := range c.Terminal {
		if n != 0 {
			a.Outcomes[carillon.Class(class).String()] = n
		}
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	r.JSON(status, b)
	return nil
}

// patchBroadcast is PATCH /api/v1/broadcasts/{bid}: it cancels.
func (g *Gateway) patchBroadcast(r *httpapi.Request) error {
	row, client, err := g.cast(r)
	if err != nil {
		return err
	}
	var body struct {
		State        string `json:"state"`
		MaxPerSecond *int   `json:"maxPerSecond"`
		Recall       bool   `json:"recall"`
	}
	if err := readBody(r, &body); err != nil {
		return err
	}
	switch {
	case body.MaxPerSecond != nil || body.Recall || body.State == statePaused:
		return carillon.Errorf(carillon.CodeNotImplemented, "", "pausing, pacing and recalling a broadcast: not built yet; it can be cancelled")
	case body.State == stateRunning && row.Cancelled:
		return carillon.Errorf(carillon.CodeConflict, "state", "it is cancelled, for good: post it under another key")
	case body.State == stateRunning, row.Cancelled && body.State == carillon.BroadcastCancelled.String():
		return g.describe(r, 200, &row)
	case body.State != carillon.BroadcastCancelled.String():
		return carillon.Errorf(carillon.CodeInvalidRequest, "state", "%.40q is not one of running, paused, cancelled", body.State)
	}
	row.Cancelled, row.At, row.By = true, r.Now(), client
	if err := g.keepBroadcast(r, &row); err != nil {
		return err
	}
	return g.describe(r, 200, &row)
}

// keepBroadcast puts a row, and takes some away that nobody needs any more.
func (g *Gateway) keepBroadcast(r *httpapi.Request, row *broadcastRow) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	rows := []journal.Row{{Key: row.key(), Value: value}}
	_, expired := g.deps.Broadcasts.of(row.Host, r.Now())
	for i := range expired[:min(len(expired), 10)] {
		if expired[i].ID != row.ID {
			rows = append(rows, journal.Row{Key: expired[i].key()})
		}
	}
	return g.deps.Table.Put(r.Context(), rows...)
}

// open finds or makes the row of a broadcast that is being posted.
func (g *Gateway) open(r *httpapi.Request, p *auth.Principal, c *casting) (row broadcastRow, err error) {
	now := r.Now()
	row, known := g.deps.Broadcasts.find(c.id)
	switch {
	case !known || row.Expires <= now:
		if live, _ := g.deps.Broadcasts.of(c.host, now); live >= maxBroadcasts {
			e := carillon.Errorf(carillon.CodeThrottled, "", "%d broadcasts of %s have notifications that did not expire, no more may: give them shorter lives", live, c.host)
			e.RetryAfter = parkedRetry
			return row, e
		}
		row = broadcastRow{
			made: made{At: now, By: p.Client}, Host: c.host, ID: c.id, Key: c.key, Hash: c.hash[:], Created: now, Expires: c.n.Expires,
		}
	case hex.EncodeToString(row.Hash) != hex.EncodeToString(c.hash[:]):
		return row, carillon.Errorf(carillon.CodeUnprocessable, "key", "a broadcast of another content has this key; use a new one")
	case row.Cancelled:
		return row, carillon.Errorf(carillon.CodeConflict, "key", "this broadcast is cancelled, for good: post it under another key")
	}
	row.Whole = false
	return row, g.keepBroadcast(r, &row)
}
