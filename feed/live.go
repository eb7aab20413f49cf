package feed

import (
	"context"
	"io"
	"time"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

const (
	// eventPage bounds what is read and written at once; a reader who is slower
	// than that is dropped, nothing waits for him.
	eventPage  = 100
	eventBytes = 256 << 10
	// retryMS is how soon a browser shall come back.
	retryMS = "2000"
	// lookAgain is when a stream whose position was not applied in time looks
	// again.
	lookAgain = time.Second
)

// events answers GET …/feed/events with server-sent events (HTML standard
// §9.2): the delta feed, live. The id of an event is its position; Last-Event-ID,
// or lastEventId in the URL of who cannot send headers, resumes behind it, with
// none it begins now. Events are changed (the notification), removed
// ({"id", "@removed"}) and resync (what the id led to is not kept: read the
// history anew, then go on). Comments keep it alive.
func (f *Feed) events(r *httpapi.Request) error {
	u, until, err := f.follower(r)
	if err != nil {
		return err
	}
	sub, err := f.subscriber(r, u)
	if err != nil {
		return err
	}
	if err := (&options{}).known(r); err != nil {
		return err
	}
	l := &live{feed: f, until: until, partition: f.partition(u)}
	if err := l.begin(r, u); err != nil {
		return err
	}
	s, err := f.hub.join(u)
	if err != nil {
		return err
	}
	if after := l.cursor.at - 1; !l.resync && l.named {
		f.deps.Served.Live(&sub, after)
	} else {
		f.deps.Served.Live(&sub, 0)
	}
	l.stream = s
	r.SetHeader("X-Accel-Buffering", "no") // proxies shall pass it on at once
	r.Live("text/event-stream; charset=utf-8", func(ctx context.Context, w io.Writer) {
		defer f.hub.leave(s)
		l.run(ctx, w)
	})
	return nil
}

// follower is whose feed is followed, and how long (milliseconds since 1970): as
// long as the token lasts.
func (f *Feed) follower(r *httpapi.Request) (u carillon.User, until int64, err error) {
	if text := r.Query("ticket"); text != "" {
		t, err := f.tickets.take(f.deps.Key, text, r.Now())
		if err != nil {
			return u, 0, err
		}
		if id := r.Param("id"); id != "" && id != t.user.ID {
			return u, 0, carillon.Errorf(carillon.CodeAccessDenied, "ticket", "is of another user")
		}
		if !f.deps.Apps().AllowsOrigin(t.user.Host, r.Origin()) {
			return u, 0, foreignOrigin(r.Origin())
		}
		return t.user, t.until, nil
	}
	if u, err = f.caller(r, lister()); err != nil {
		return u, 0, err
	}
	p, _ := r.Principal.(*auth.Principal)
	return u, p.Expires, nil
}

// subscriber is the endpoint that follows; who comes with a ticket is none.
func (f *Feed) subscriber(r *httpapi.Request, u carillon.User) (auth.Subscription, error) {
	if r.HasQuery("ticket") {
		return auth.Subscription{}, nil
	}
	return f.endpoint(r, u)
}

// live is one live feed as it runs.
type live struct {
	feed      *Feed
	stream    *stream
	partition int32
	until     int64
	cursor    cursor
	erased    carillon.Seq // the last erasure that the reader knows of, or need not
	resync    bool
	named     bool // the reader told where he was
	buf       []byte
}

// begin finds where to go on.
func (l *live) begin(r *httpapi.Request, u carillon.User) error {
	now, err := l.feed.deps.Store.Progress(l.partition)
	if err != nil {
		return err
	}
	l.cursor.at = now.Applied
	if l.erased, err = l.feed.deps.Store.Erased(u); err != nil {
		return err
	}
	id := r.Header("Last-Event-ID")
	if id == "" {
		id = r.Query("lastEventId")
	}
	if id == "" {
		return nil
	}
	pos, err := httpapi.DecodePosition(id)
	if err != nil {
		return carillon.Errorf(carillon.CodeInvalidRequest, "Last-Event-ID", "%.40q is no event id of this service", id)
	}
	if pos.Partition != l.partition || pos.Seq >= now.Applied && pos.Seq != 0 || pos.Seq != 0 && pos.Seq.Epoch() != now.Applied.Epoch() || pos.Seq < l.erased {
		l.resync = true
		return nil
	}
	l.cursor.at, l.named = pos.Seq+1, true
	return nil
}

// run writes until somebody ends it.
func (l *live) run(ctx context.Context, w io.Writer) {
	clock := l.feed.deps.Clock
	beat := clock.NewTimer(l.feed.cfg.Heartbeat)
	defer beat.Stop()
	l.buf = append(l.buf[:0], "retry: "+retryMS+"\n\n"...)
	if l.resync {
		l.anew()
	}
	l.id(l.cursor.at)
	l.again() // what changed since begin, or before; a tap may have come in between
	for {
		if len(l.buf) > 0 {
			if _, err := w.Write(l.buf); err != nil {
				return
			}
			beat.Reset(l.feed.cfg.Heartbeat)
			l.buf = l.buf[:0]
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if clock.UnixMilli() >= l.until {
				return
			}
			l.buf = append(l.buf, ":\n\n"...)
			beat.Reset(l.feed.cfg.Heartbeat)
		case <-l.stream.wake:
			if !l.pump(ctx, w) {
				return
			}
		}
	}
}

// pump writes what is applied by now; false ends the stream.
func (l *live) pump(ctx context.Context, w io.Writer) bool {
	if seq := carillon.Seq(l.stream.upTo.Load()); seq >= l.cursor.at {
		if l.feed.deps.Applied.Wait(ctx, carillon.Position{Partition: l.partition, Seq: seq}) != nil {
			if l.feed.deps.Clock.Sleep(ctx, lookAgain) != nil {
				return false
			}
			l.again()
		}
	}
	for {
		more, err := l.page()
		if err != nil {
			l.feed.deps.Log.Error("a live feed broke off", "error", err)
			return false
		}
		if len(l.buf) > 0 {
			if _, err := w.Write(l.buf); err != nil {
				return false
			}
			l.buf = l.buf[:0]
		}
		if !more {
			return true
		}
	}
}

// again looks again soon.
func (l *live) again() {
	select {
	case l.stream.wake <- struct{}{}:
	default:
	}
}

// page reads the next events into the buffer and tells whether there are more.
func (l *live) page() (more bool, err error) {
	f := l.feed
	now, err := f.deps.Store.Progress(l.partition)
	if err != nil || now.Applied <= l.cursor.at {
		return false, err
	}
	switch erased, err := f.deps.Store.Erased(l.stream.user); {
	case err != nil:
		return false, err
	case erased > l.erased: // what he has is gone, and no entry of the feed says so
		l.erased, l.cursor.at, l.cursor.inner = erased, max(l.cursor.at, erased+1), 0
		l.anew()
		l.id(l.cursor.at)
		return true, nil
	}
	e := entry{feed: f, user: l.stream.user}
	n := 0
	var failed error
	next, _, err := f.deps.Store.Changes(e.user, carillon.FeedRange{
		From: carillon.Place{At: l.cursor.at, Created: l.cursor.inner}, To: now.Applied, Rows: pageRows,
	}, func(at carillon.Place, it *carillon.Item) bool {
		if n == eventPage || len(l.buf) >= eventBytes {
			return false
		}
		n++
		e.of(it)
		failed = l.event(&e, at)
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	if err != nil {
		return false, err
	}
	f.hub.events.Add(n)
	if next != (carillon.Place{}) {
		l.cursor.at, l.cursor.inner = next.At, next.Created
		return true, nil
	}
	l.cursor.at, l.cursor.inner = now.Applied, 0
	if n > 0 {
		l.id(l.cursor.at)
	}
	return false, nil
}

// event appends one entry of the feed. Many items share a floor mark's
// place: who resumes among them begins them again.
func (l *live) event(e *entry, at carillon.Place) error {
	id := at.At
	if e.item.Feed != at.At {
		id--
	}
	name := "event: changed\nid: "
	if e.item.State.Deleted {
		name = "event: removed\nid: "
	}
	l.buf = append(l.buf, name...)
	l.buf = append(l.buf, httpapi.EncodePosition(carillon.Position{Partition: l.partition, Seq: id})...)
	l.buf = append(l.buf, "\ndata: "...)
	if e.item.State.Deleted {
		l.buf = appendRemoved(l.buf, e.id(), "deleted")
	} else {
		from := len(l.buf)
		var err error
		if l.buf, err = e.append(l.buf, nil, &l.cursor.sel); err != nil {
			return err
		}
		oneLine(l.buf[from:])
	}
	l.buf = append(l.buf, "\n\n"...)
	return nil
}

// anew begins the event that tells the reader that what he has is void; an id ends it.
func (l *live) anew() { l.buf = append(l.buf, "event: resync\ndata: {}\n"...) }

// id tells the reader how far he is, without an event.
func (l *live) id(next carillon.Seq) {
	if next == 0 {
		next = 1
	}
	l.buf = append(l.buf, "id: "...)
	l.buf = append(l.buf, httpapi.EncodePosition(carillon.Position{Partition: l.partition, Seq: next - 1})...)
	l.buf = append(l.buf, "\n\n"...)
}

// oneLine makes JSON, in which line ends stand between tokens only, one line.
func oneLine(b []byte) {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
}
