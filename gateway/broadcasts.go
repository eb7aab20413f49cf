package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// maxBroadcasts is how many broadcasts of an app may have notifications that did
// not expire.
const maxBroadcasts = 1000

const (
	castPage, castPageMost = 25, 100
	// maxPace is the most that maxPerSecond may be.
	maxPace = 1_000_000

	stateCancelled = "cancelled"
	stateFinished  = "finished"
)

// broadcastAnswer is how a broadcast stands.
type broadcastAnswer struct {
	ID    string `json:"id"`
	Host  string `json:"targetHostName"`
	Key   string `json:"key,omitempty"`
	State string `json:"state"` // "running", "paused", "finished" or "cancelled"
	// Accepted are the user ids that were journalled, repeats too.
	Accepted int64 `json:"accepted"`
	Whole    bool  `json:"whole"`
	// Notifications are the users reached: each has one.
	Notifications int64            `json:"notifications"`
	Scheduled     int64            `json:"scheduled,omitempty"` // of these, those whose time has not come
	Planned       int64            `json:"planned"`
	Waiting       int64            `json:"waiting"`
	Outcomes      map[string]int64 `json:"outcomes"`
	MaxPerSecond  int              `json:"maxPerSecond,omitempty"`
	// PerSecond are the deliveries that ended a second in the last ten, ETA when
	// the rest ends at that rate, and Bound what holds it up: "paused",
	// "appPaused", "maxPerSecond", "provider", "quota", "deliverAt", "retry"
	// (attempts failed, the next ones are due later), or nothing.
	PerSecond float64       `json:"ratePerSecond"`
	ETA       string        `json:"etaDateTime,omitempty"`
	Bound     string        `json:"boundBy,omitempty"`
	Recall    *recallAnswer `json:"recall,omitempty"`
	Created   string        `json:"createdDateTime"`
	Expires   string        `json:"expirationDateTime"`
}

// recallAnswer is how far a recall is.
type recallAnswer struct {
	State         string `json:"state"` // "running" or "finished"
	Notifications int64  `json:"notifications"`
	Asked         string `json:"askedDateTime"`
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
		_, err = g.owned(p, row.Host, "id")
	}
	if !ok || err != nil {
		return row, "", carillon.Errorf(carillon.CodeNotFound, "id", "this app has no broadcast %.40q", r.Param("bid"))
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

// listBroadcasts is GET /api/v1/broadcasts: those of an app, the newest first.
func (g *Gateway) listBroadcasts(r *httpapi.Request) error {
	p, err := g.caster(r)
	if err != nil {
		return err
	}
	app, err := g.hostOf(p, hostQuery(r))
	if err != nil {
		return err
	}
	top := castPage
	if r.HasQuery("$top") {
		if top, err = strconv.Atoi(r.Query("$top")); err != nil || top < 1 || top > castPageMost {
			return carillon.Errorf(carillon.CodeInvalidRequest, "$top", "%.20q is not a number from 1 to %d", r.Query("$top"), castPageMost)
		}
	}
	after := strings.ToLower(r.Query("$skiptoken"))
	if row, ok := g.deps.Broadcasts.find(after); after != "" && (!ok || row.Host != app.Host) {
		return carillon.Errorf(carillon.CodeInvalidRequest, "$skiptoken", "%.40q is not the id of a broadcast of %s: follow the @odata.nextLink as it came", after, app.Host)
	}
	rows, more := g.deps.Broadcasts.newest(app.Host, after, top)
	list := struct {
		Next  string            `json:"@odata.nextLink,omitempty"`
		Value []broadcastAnswer `json:"value"`
	}{Value: make([]broadcastAnswer, len(rows))}
	for i := range rows {
		if list.Value[i], err = g.standing(&rows[i], r.Now()); err != nil {
			return err
		}
	}
	if more {
		q := url.Values{"host": {app.Host}, "$top": {strconv.Itoa(top)}, "$skiptoken": {rows[len(rows)-1].ID}}
		list.Next = string(r.AppendBase(nil)) + "/api/v1/broadcasts?" + q.Encode()
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	r.JSON(200, b)
	return nil
}

// describe answers with how a broadcast stands.
func (g *Gateway) describe(r *httpapi.Request, status int, row *broadcastRow) error {
	a, err := g.standing(row, r.Now())
	if err != nil {
		return err
	}
	b, err := json.Marshal(&a)
	if err != nil {
		return err
	}
	r.JSON(status, b)
	return nil
}

// standing is how a broadcast stands at now.
func (g *Gateway) standing(row *broadcastRow, now int64) (a broadcastAnswer, err error) {
	c, err := g.deps.BroadcastCounts(row.Host, row.ID)
	if err != nil {
		return a, unreadable(err)
	}
	to := row.steering()
	a = broadcastAnswer{
		ID: row.ID, Host: row.Host, Key: row.Key, State: to.State.String(), Accepted: row.Accepted, Whole: row.Whole,
		Notifications: c.Notifications, Scheduled: c.Scheduled, Planned: c.Planned, Waiting: c.Planned - c.Ended(), Outcomes: map[string]int64{},
		MaxPerSecond: row.MaxPerSecond, Created: dateTime(row.Created), Expires: dateTime(row.Expires),
	}
	for class, n := range c.Terminal {
		if n != 0 {
			a.Outcomes[carillon.Class(class).String()] = n
		}
	}
	if row.Recall != 0 {
		a.Recall = &recallAnswer{State: "running", Notifications: row.Recalled, Asked: dateTime(row.Recall)}
		if row.RecallDone != 0 {
			a.Recall.State = stateFinished
		}
	}
	if to.State == carillon.BroadcastCancelled {
		return a, nil
	}
	unbegun := c.Notifications == 0 && to.State == carillon.BroadcastPaused // before its users are posted
	if over, err := g.over(row, &c); err != nil || over && !unbegun {
		a.State = stateFinished
		return a, err
	}
	if to.State == carillon.BroadcastPaused {
		a.Bound = statePaused
		return a, nil
	}
	pace := g.deps.BroadcastPace(row.Host, row.ID)
	a.PerSecond, a.Bound = math.Round(pace.PerSecond*10)/10, pace.Bound
	switch {
	case a.Bound != "":
	case row.Throttled:
		a.Bound = "quota"
	case c.Scheduled > 0 && a.Waiting == 0:
		a.Bound = "deliverAt"
	case row.Whole && a.PerSecond == 0: // what waits is nowhere but in the index of what is due
		a.Bound = "retry"
	}
	if a.Bound == "maxPerSecond" { // what it was lately may be of another pace
		pace.PerSecond = float64(row.MaxPerSecond)
	}
	if row.Whole && pace.PerSecond > 0 && c.Scheduled == 0 {
		a.ETA = dateTime(now + int64(float64(a.Waiting)/pace.PerSecond*1000))
	}
	return a, nil
}

// over tells whether all of a broadcast was posted, planned, and ended.
func (g *Gateway) over(row *broadcastRow, c *carillon.BroadcastCounts) (bool, error) {
	if !row.Whole || c.Scheduled > 0 || c.Planned > c.Ended() {
		return false, nil
	}
	for p, seq := range row.Last {
		if seq == 0 {
			continue
		}
		at, err := g.deps.Progress(int32(p))
		if err != nil {
			return false, unreadable(err)
		}
		if !httpapi.Passed(at, seq) {
			return false, nil
		}
	}
	return true, nil
}

// castChange is what a PATCH wants; what is nil stays.
type castChange struct {
	State        *string         `json:"state"`
	MaxPerSecond json.RawMessage `json:"maxPerSecond"` // a number, or null for none
	Recall       bool            `json:"recall"`
}

// patchBroadcast is PATCH /api/v1/broadcasts/{bid}: it pauses, paces, cancels and
// recalls.
func (g *Gateway) patchBroadcast(r *httpapi.Request) error {
	row, client, err := g.cast(r)
	if err != nil {
		return err
	}
	var body castChange
	if err := readBody(r, &body); err != nil {
		return err
	}
	changed, err := g.updateBroadcast(r.Context(), row.ID, r.Now(), func(row *broadcastRow) error {
		row.At, row.By = r.Now(), client
		return body.apply(row, r.Now())
	})
	if err != nil {
		return err
	}
	return g.describe(r, 200, &changed)
}

// apply works a change into a row. Cancelled is for good.
func (b *castChange) apply(row *broadcastRow, now int64) error {
	var state string
	if b.State != nil {
		state = *b.State
	}
	switch {
	case b.State == nil && b.MaxPerSecond == nil && !b.Recall:
		return carillon.Errorf(carillon.CodeInvalidRequest, "", `nothing is to be changed: name state ("running", "paused", "cancelled"), maxPerSecond (a number, or null for none) or recall (true)`)
	case b.State != nil && state != stateRunning && state != statePaused && state != stateCancelled:
		return carillon.Errorf(carillon.CodeInvalidRequest, "state", "%.40q is not one of running, paused, cancelled", state)
	case b.Recall && b.State != nil && state != stateCancelled:
		return carillon.Errorf(carillon.CodeInvalidRequest, "state", "what is recalled is cancelled: it cannot be %s", state)
	case row.Cancelled && (state == stateRunning || state == statePaused):
		return carillon.Errorf(carillon.CodeConflict, "state", "it is cancelled, for good: post it under another key")
	case row.Cancelled && b.MaxPerSecond != nil:
		return carillon.Errorf(carillon.CodeConflict, "maxPerSecond", "it is cancelled, for good: nothing of it goes out any more")
	}
	if b.MaxPerSecond != nil {
		var pace whole
		if err := json.Unmarshal(b.MaxPerSecond, &pace); err != nil || string(b.MaxPerSecond) != "null" && (pace < 1 || pace > maxPace) {
			return carillon.Errorf(carillon.CodeInvalidRequest, "maxPerSecond", "%.40q is neither a whole number from 1 to %d nor null, which is no bound", b.MaxPerSecond, maxPace)
		}
		row.MaxPerSecond = int(pace)
	}
	switch state {
	case stateRunning:
		row.Paused = false
	case statePaused:
		row.Paused = true
	case stateCancelled:
		row.Cancelled = true
	}
	if b.Recall && row.Recall == 0 {
		row.Cancelled, row.Recall = true, now
	}
	return nil
}

// updateBroadcast changes what is kept of a broadcast, as it is by then, and gives
// the row as it was put.
func (g *Gateway) updateBroadcast(ctx context.Context, id string, now int64, change func(row *broadcastRow) error) (broadcastRow, error) {
	g.castMu.Lock() // else one of two changes at once would be lost
	defer g.castMu.Unlock()
	row, ok := g.deps.Broadcasts.find(id)
	if !ok {
		return row, carillon.Errorf(carillon.CodeNotFound, "id", "this app has no broadcast %.40q", id)
	}
	if err := change(&row); err != nil {
		return row, err
	}
	return row, g.keepBroadcast(ctx, &row, now)
}

// keepBroadcast puts a row, and takes some away that nobody needs any more.
func (g *Gateway) keepBroadcast(ctx context.Context, row *broadcastRow, now int64) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	rows := []journal.Row{{Key: row.key(), Value: value}}
	_, expired := g.deps.Broadcasts.of(row.Host, now)
	for i := range expired[:min(len(expired), 10)] {
		if expired[i].ID != row.ID {
			rows = append(rows, journal.Row{Key: expired[i].key()})
		}
	}
	return g.deps.Table.Put(ctx, rows...)
}

// opening is the row of a broadcast that is to be posted, as it is or will be.
func (g *Gateway) opening(c *casting, p *auth.Principal, now int64) (row broadcastRow, err error) {
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
	return row, nil
}

// open puts the row of a broadcast whose first users are about to be journalled.
func (g *Gateway) open(ctx context.Context, c *casting, p *auth.Principal, now int64) error {
	g.castMu.Lock()
	defer g.castMu.Unlock()
	row, err := g.opening(c, p, now)
	if err != nil {
		return err
	}
	row.Whole, row.Throttled = false, false
	return g.keepBroadcast(ctx, &row, now)
}
