package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// silence is how long a live feed may say nothing: three heartbeats.
	silence = 45 * time.Second
	// maxEvent bounds one line of a live feed, in bytes.
	maxEvent = 1 << 20
)

// Event is one event of a live feed.
type Event struct {
	// ID is where to go on behind it.
	ID string
	// Resync tells that the place asked for is not kept any more: read anew, then
	// go on. Else Change says what happened.
	Resync bool
	Change Change
}

// Live is the feed as it happens: behind that event, or from now on with "". It
// connects again when the connection ends, and misses nothing then. A refusal
// that waiting does not mend ends it with an error; so does ctx.
func (d *Device) Live(ctx context.Context, lastEventID string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		last := lastEventID
		for failed := 1; ; failed++ {
			before := last
			err := d.follow(ctx, &last, yield)
			if errors.Is(err, errStopped) {
				return
			}
			if last != before {
				failed = 1
			}
			if err = d.again(ctx, failed, err); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// again waits until a live feed may connect once more; an error ends it.
func (d *Device) again(ctx context.Context, failed int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, refused := errors.AsType[*Error](err)
	if refused && !e.Temporary() || errors.Is(err, errToken) {
		return err
	}
	var asked time.Duration
	if refused {
		asked = e.RetryAfter
	}
	return d.c.opts.Clock.Sleep(ctx, d.c.backoff(failed, asked))
}

var errStopped = errors.New("client: nobody wants more")

// follow reads one connection to its end; last is kept up with it.
func (d *Device) follow(ctx context.Context, last *string, yield func(Event, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k, err := d.load(ctx)
	if err != nil {
		return err
	}
	in := &call{method: http.MethodGet, path: []string{"api", "v1", "me", "feed", "events"}}
	d.sign(in, &k)
	if *last != "" {
		in.header["Last-Event-ID"] = *last
	}
	req, err := d.c.request(ctx, in)
	if err != nil {
		return err
	}
	watch := d.c.opts.Clock.NewTimer(silence)
	defer watch.Stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-watch.C:
			cancel()
		case <-ctx.Done():
		}
	})
	res, err := d.c.listen(in, req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var e sse
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		watch.Reset(silence)
		if !e.line(lines.Text()) {
			continue
		}
		ev, ok, err := e.event()
		if err != nil {
			return err
		}
		if ok {
			watch.Stop() // the caller takes his time
			goOn := yield(ev, nil)
			watch.Reset(silence)
			if !goOn {
				return errStopped
			}
		}
		if e.id != "" {
			*last = e.id
		}
		e = sse{}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// listen opens a live feed.
func (c *Client) listen(in *call, req *http.Request) (*http.Response, error) {
	res, err := c.opts.HTTP.Do(req)
	if err != nil || res.StatusCode == http.StatusOK {
		return res, err
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	e := refusal(res.StatusCode, res.Header, body, c.now())
	if c.forgets(in, e) {
		return nil, io.ErrUnexpectedEOF
	}
	return nil, e
}

// sse is an event while its lines come (HTML standard §9.2.6).
type sse struct {
	id, name string
	data     strings.Builder
}

// line takes a line; true ends the event.
func (e *sse) line(s string) (done bool) {
	if s == "" {
		return true
	}
	name, value, _ := strings.Cut(s, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		e.id = value
	case "event":
		e.name = value
	case "data":
		e.data.WriteString(value)
	}
	return false
}

// event is what the lines say; false when they only tell a place.
func (e *sse) event() (ev Event, ok bool, err error) {
	ev.ID = e.id
	switch e.name {
	case "":
		return ev, false, nil
	case "resync":
		ev.Resync = true
		return ev, true, nil
	case "changed", "removed":
		ev.Change, err = readChange([]byte(e.data.String()))
		return ev, err == nil, err
	}
	return ev, false, fmt.Errorf("client: a live feed sent the unknown event %.40q", e.name)
}
