package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"carillon"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// The spaces of what follows from a broadcast's key, as those of other keys.
const (
	spaceBroadcast = 'B' // its id, of (host, key)
	spaceCast      = 'b' // a user's notification, of (user, broadcast)
)

const (
	// castLines is how many users' records go to the journal in one append.
	castLines = 4096
	// castAhead is how many appends of a broadcast may be journalled and not settled:
	// what others send waits behind no more than these.
	castAhead = 2
	// castsAtOnce is how many broadcasts an app may post at once: they take long, and
	// each holds a part of what all apps' bulk requests share.
	castsAtOnce = 4
	// castPause spaces the looks at that.
	castPause = 5 * time.Millisecond
	// castPatience is how long a posting waits for its app's quota; beyond that, which
	// is a daily one, it is refused.
	castPatience = 2 * time.Minute
)

// castHead is the first line of a broadcast, or its body but for the users.
type castHead struct {
	Key          string          `json:"key"`
	Notification json.RawMessage `json:"notification"`
	UserIDs      []string        `json:"userIds"`
}

// casting is a broadcast that is being posted.
type casting struct {
	decoder
	g       *Gateway
	key, id string
	host    string
	hash    [16]byte
	rec     journal.Record
	arena   []byte
	ends    []int // of keys and records in the arena, in turn
	entries []journal.Entry
	sum     int64
	last    []carillon.Seq   // of each partition
	ahead   [][]carillon.Seq // the same of each append that may not be settled
	line    int
	at      string // what line counts: "line" or "user"
	lines   bool   // users stand a line each
	// open puts the broadcast's row, before the first of its records; nil after that.
	open func() error
}

// postBroadcast is POST /api/v1/broadcasts: one content for many users, as one
// JSON object, or as a stream of lines: the object without userIds, then a user a
// line. It answers when everything is journalled. What was journalled stays,
// whatever happens to the rest; posting it again under its key rings nobody twice.
func (g *Gateway) postBroadcast(r *httpapi.Request) error {
	p, err := g.caster(r)
	if err != nil {
		return err
	}
	if !g.budget.take(importHolds) {
		e := carillon.Errorf(carillon.CodeThrottled, "", "bulk requests of %d bytes are under way in this gateway, no more fit; repeat it in a second", g.cfg.BulkBudgetBytes)
		e.RetryAfter = retryAfter
		return e
	}
	defer g.budget.give(importHolds)
	body, err := r.Stream()
	if err != nil {
		return err
	}
	c, head, in, err := g.castBody(r, body)
	if err != nil {
		return err
	}
	if err := g.admitted(p, c.host, "notification.targetHostName"); err != nil {
		return err
	}
	if !g.casting(c.host, 1) {
		e := carillon.Errorf(carillon.CodeThrottled, "", "%d broadcasts of %s are being posted, no more at once: wait until one of them is answered", castsAtOnce, c.host)
		e.RetryAfter = parkedRetry
		return e
	}
	defer g.casting(c.host, -1)
	c.name(head.Key)
	row, err := g.opening(c, p, r.Now())
	if err != nil {
		return err
	}
	was := row.Whole
	c.n.Accepted, c.n.Expires = row.Created, row.Expires
	c.open = func() error { return g.open(r.Context(), c, p, r.Now()) }
	err = c.users(r.Context(), head, in, r.Now())
	if c.open != nil { // nothing of it is journalled: nothing is to be kept of it
		return err
	}
	row, kept := g.updateBroadcast(r.Context(), c.id, r.Now(), func(row *broadcastRow) error {
		row.Accepted += c.sum
		row.Whole = err == nil || was && c.sum == 0 // a repeat that brought nothing
		row.Throttled = err != nil && carillon.AsError(err).Code == carillon.CodeThrottled
		row.reached(c.last)
		return nil
	})
	if err == nil {
		err = kept
	}
	if err != nil {
		e := *carillon.AsError(err)
		e.Cause = err // a body that stalls is 408
		if e.Code == carillon.CodeConflict {
			e.Message += fmt.Sprintf("; %d users were journalled before", c.sum)
		} else {
			e.Message += fmt.Sprintf("; %d users are journalled and stay: post the whole again under the key %q, that rings nobody twice", c.sum, c.key)
		}
		return &e
	}
	r.SetHeader("Location", "/api/v1/broadcasts/"+c.id)
	return g.describe(r, 202, &row)
}

// castBody reads what a posting begins with: all but the users that stand a line each.
func (g *Gateway) castBody(r *httpapi.Request, body io.Reader) (c *casting, head *castHead, in *bufio.Reader, err error) {
	for _, name := range r.QueryNames() {
		return nil, nil, nil, carillon.Errorf(carillon.CodeInvalidRequest, name, "a broadcast takes no query options, it would be sent: leave %.40q out", name)
	}
	c = &casting{g: g, at: "user"}
	if c.lines = strings.HasPrefix(r.Header("Content-Type"), "application/x-ndjson"); c.lines {
		c.at = "line"
	} else if err := wantsJSON(r, "application/json"); err != nil {
		return nil, nil, nil, err
	}
	in = bufio.NewReaderSize(body, carillon.MaxRequest+1)
	if head, err = c.head(in, c.lines); err != nil {
		return nil, nil, nil, err
	}
	if key := r.Header(keyHeader); key != "" && head.Key == "" {
		head.Key = key
	} else if key != "" && key != head.Key {
		return nil, nil, nil, carillon.Errorf(carillon.CodeInvalidRequest, keyHeader, "it differs from the broadcast's key: one of the two is enough")
	}
	return c, head, in, c.begin(head, r.Now())
}

// casting counts the postings of an app that are under way; false when there are
// enough.
func (g *Gateway) casting(host string, by int) bool {
	g.castMu.Lock()
	defer g.castMu.Unlock()
	n := g.casts[host] + by
	switch {
	case n > castsAtOnce:
		return false
	case n == 0:
		delete(g.casts, host)
	default:
		g.casts[host] = n
	}
	return true
}

// head reads the first line, or the whole body.
func (c *casting) head(in *bufio.Reader, lines bool) (*castHead, error) {
	var text []byte
	var err error
	if lines {
		text, err = c.next(in)
	} else if text, err = io.ReadAll(io.LimitReader(in, int64(c.g.cfg.BulkBytes)+1)); len(text) > c.g.cfg.BulkBytes {
		return nil, carillon.Errorf(carillon.CodeTooLarge, "", "the body has more than %d bytes; send a user a line, which has no limit", c.g.cfg.BulkBytes)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var head castHead
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&head); err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", `it begins with {"notification":{…}}, perhaps with key and userIds: %s`, jsonFault(err))
	}
	_, more := dec.Token()
	switch {
	case !errors.Is(more, io.EOF) && lines:
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "the first line goes on after its JSON object: a user stands on a line of its own")
	case !errors.Is(more, io.EOF):
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "the body goes on after its JSON object: users a line are sent with Content-Type: application/x-ndjson")
	case lines && head.UserIDs != nil:
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "userIds", "users stand on lines of their own behind the first")
	case len(head.Notification) > carillon.MaxRequest:
		return nil, carillon.Errorf(carillon.CodeTooLarge, "notification", "has %d bytes, at most %d are allowed", len(head.Notification), carillon.MaxRequest)
	case len(head.Key) > carillon.MaxKey:
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "key", "a key has 1 to %d bytes, this one has %d", carillon.MaxKey, len(head.Key))
	}
	return &head, nil
}

// begin decodes the content.
func (c *casting) begin(head *castHead, now int64) error {
	if err := c.decode(head.Notification, false, now); err != nil {
		if err.Target != "" {
			err.Target = "notification." + err.Target
		}
		return err
	}
	if c.n.AppNotificationID != "" {
		return carillon.Errorf(carillon.CodeInvalidRequest, "notification.appNotificationId", "a broadcast's notifications are named after its key")
	}
	c.host = strings.Clone(c.decoder.host)
	c.hash, _ = bodyHash(&c.decoder, nil)
	return nil
}

// name derives the broadcast's id from its key; without one it gets one of its own.
func (c *casting) name(key string) {
	if key == "" {
		key = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) //nolint:gosec // it names, it protects nothing
	}
	c.key = key
	c.id = c.g.deps.IDs.Derived(carillon.User{Host: c.host}, spaceBroadcast, key).String()
	c.n.Broadcast = c.id
}

// users journals a record for each user.
func (c *casting) users(ctx context.Context, head *castHead, in *bufio.Reader, now int64) error {
	for i, id := range head.UserIDs {
		c.line = i + 1
		if err := c.user(ctx, id, now); err != nil {
			return err
		}
	}
	for c.lines {
		text, err := c.next(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			id, fault := userOf(text)
			if fault != nil {
				return carillon.Errorf(carillon.CodeInvalidRequest, "userId", `line %d is neither "dev.alice" nor {"userId":"dev.alice"}: %s`, c.line, jsonFault(fault))
			}
			if err := c.user(ctx, id, now); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	return c.opened() // when there were no users
}

// opened makes the broadcast's row, if it is not there yet.
func (c *casting) opened() error {
	if c.open == nil {
		return nil
	}
	err := c.open()
	if err == nil {
		c.open = nil
	}
	return err
}

// next reads a line; what it gives lasts until the next.
func (c *casting) next(in *bufio.Reader) ([]byte, error) {
	c.line++
	text, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, carillon.Errorf(carillon.CodeTooLarge, "", "line %d has more than %d bytes", c.line, carillon.MaxRequest)
	}
	return text, err
}

func userOf(text []byte) (id string, err error) {
	if text[0] == '"' {
		return id, json.Unmarshal(text, &id)
	}
	var line struct {
		UserID string `json:"userId"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = dec.Decode(&line)
	return line.UserID, err
}

func (c *casting) user(ctx context.Context, id string, now int64) error {
	if err := carillon.ValidateUserID(id); err != nil {
		e := *carillon.AsError(err)
		e.Message = fmt.Sprintf("%s %d: %s", c.at, c.line, e.Message)
		return &e
	}
	u := carillon.User{Host: c.host, ID: id}
	c.n.ID = c.g.deps.IDs.Derived(u, spaceCast, c.id)
	c.rec.Kind, c.rec.At, c.rec.Notification = journal.KindNotification, now, c.n
	c.arena = u.AppendKey(c.arena)
	c.ends = append(c.ends, len(c.arena))
	c.arena = c.rec.Append(c.arena)
	c.ends = append(c.ends, len(c.arena))
	if len(c.ends) >= 2*castLines || len(c.arena) >= importArena {
		return c.flush(ctx)
	}
	return nil
}

// flush journals what has gathered, unless the broadcast was cancelled meanwhile.
func (c *casting) flush(ctx context.Context) error {
	if row, _ := c.g.deps.Broadcasts.find(c.id); row.Cancelled {
		return errCancelled()
	}
	n := len(c.ends) / 2
	if n == 0 {
		return nil
	}
	if err := c.charge(ctx, n); err != nil {
		return err
	}
	if err := c.keepBack(ctx); err != nil {
		return err
	}
	if err := c.opened(); err != nil {
		return err
	}
	c.entries = c.entries[:0]
	from := 0
	for i := 0; i < len(c.ends); i += 2 {
		mid, to := c.ends[i], c.ends[i+1]
		c.entries = append(c.entries, journal.Entry{Key: c.arena[from:mid:mid], Value: c.arena[mid:to:to]})
		from = to
	}
	err := c.g.append(ctx, c.entries)
	if err == nil {
		c.sum += int64(n)
		c.g.metrics.notifications.Add(n)
		c.reached()
	}
	c.arena, c.ends = c.arena[:0], c.ends[:0]
	return err
}

// reached notes where the records of an append stand.
func (c *casting) reached() {
	last := make([]carillon.Seq, c.g.deps.Partitions)
	for i := range c.entries {
		at := c.entries[i].Position
		last[at.Partition] = max(last[at.Partition], at.Seq)
	}
	c.ahead = append(c.ahead, last)
	c.last = furthest(c.last, last)
}

// charge takes the users out of the app's quota: a posting goes no faster than that.
func (c *casting) charge(ctx context.Context, n int) error {
	for {
		err := c.g.charge(c.host, n, c.g.deps.Clock.UnixMilli())
		if err == nil {
			return nil
		}
		wait := carillon.AsError(err).RetryAfter
		if wait > castPatience {
			return err
		}
		if row, _ := c.g.deps.Broadcasts.find(c.id); row.Cancelled {
			return errCancelled()
		}
		if c.g.deps.Clock.Sleep(ctx, wait) != nil {
			return err
		}
	}
}

// keepBack waits until not too much of the broadcast is journalled and not settled:
// its sender waits, and not everybody else.
func (c *casting) keepBack(ctx context.Context) error {
	if len(c.ahead) < castAhead {
		return nil
	}
	for p, seq := range c.ahead[0] {
		for seq != 0 {
			at, err := c.g.deps.Progress(int32(p))
			if err != nil {
				return unreadable(err)
			}
			if at.Settled > seq {
				break
			}
			if row, _ := c.g.deps.Broadcasts.find(c.id); row.Cancelled {
				return errCancelled()
			}
			if err := c.g.deps.Clock.Sleep(ctx, castPause); err != nil {
				return unknown(err)
			}
		}
	}
	c.ahead = slices.Delete(c.ahead, 0, 1)
	return nil
}

func errCancelled() error {
	return carillon.Errorf(carillon.CodeConflict, "key", "the broadcast was cancelled while it was posted")
}
