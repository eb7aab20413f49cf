package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"carillon"
)

const (
	subscriptionHeader = "X-UNS-ID"
	keyHeader          = "Idempotency-Key"
	// maxAnswer bounds an answer that is read whole, in bytes.
	maxAnswer = 64 << 20
)

// Options are how a client reaches the service.
type Options struct {
	// Token gives the bearer token of a call; it is asked for each attempt and
	// should remember what it has. Required.
	Token func(ctx context.Context) (string, error)
	// HTTP does the calls; [http.DefaultClient] when nil. A Timeout in it also
	// ends [Device.Live] and [Sender.Broadcast].
	HTTP *http.Client
	// Attempts is how often a repeatable call is tried; 0 is 6.
	Attempts int
	// Backoff is the longest first wait, doubled each time; 0 is 250 ms.
	Backoff time.Duration
	// MaxWait bounds one wait; who is asked to wait longer gets the error at
	// once. 0 is 30 s.
	MaxWait time.Duration
	// BulkLines bounds the lines of one bulk request; 0 is 5,000.
	BulkLines int
	// Clock is for tests; nil is the system's.
	Clock *carillon.Clock
}

// Client is the way to one Carillon service. It is safe for concurrent use. What
// was written through it is seen by what is read through it afterwards.
type Client struct {
	base *url.URL
	opts Options
	own  positions
}

// New makes a client of the service at that root, such as
// "https://carillon.example.com". It calls nobody yet.
func New(root string, o Options) (*Client, error) {
	u, err := url.Parse(root)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("client: %q is no http or https address of a service", root)
	}
	if o.Token == nil {
		return nil, errors.New("client: Options.Token is missing: it gives each call its bearer token")
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Attempts <= 0 {
		o.Attempts = 6
	}
	if o.BulkLines <= 0 {
		o.BulkLines = 5000
	}
	if o.Clock == nil {
		o.Clock = new(carillon.Clock)
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 30 * time.Second
	}
	return &Client{base: u, opts: o}, nil
}

// call is one call of the service.
type call struct {
	method string
	path   []string // segments, not escaped
	query  string
	body   []byte
	media  string // of the body; JSON when empty
	header map[string]string
	once   bool // a repeat could do harm
	// of is the user that it is about: it sees what was written of him before.
	// behind is the position that the last attempt brought.
	of     *whose
	behind string
	// stream gives the body of an attempt, in place of body.
	stream func() io.ReadCloser
	// check refuses an answer that is not whole.
	check func(body []byte) error
}

// answer is a success.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a call, as often as it takes and is allowed.
func (c *Client) do(ctx context.Context, in *call) (*answer, error) {
	for attempt := 1; ; attempt++ {
		out, err := c.try(ctx, in)
		if err == nil {
			return out, nil
		}
		e, refused := errors.AsType[*Error](err)
		if attempt > 1 && refused && in.method == http.MethodDelete && e.Status == http.StatusNotFound {
			return &answer{status: http.StatusNoContent}, nil // the attempt before did it
		}
		if refused && c.forgets(in, e) {
			attempt-- // that one did not count
			continue
		}
		asked, again := c.repeats(in, attempt, err)
		if !again || ctx.Err() != nil {
			return nil, err
		}
		if c.opts.Clock.Sleep(ctx, c.backoff(attempt, asked)) != nil {
			return nil, err
		}
	}
}

// repeats tells whether a call that failed so may be made once more, and how long
// the service asked to wait.
func (c *Client) repeats(in *call, attempt int, err error) (asked time.Duration, again bool) {
	if in.once || attempt >= c.opts.Attempts {
		return 0, false
	}
	if e, refused := errors.AsType[*Error](err); refused {
		// A keyed send whose first attempt is still under way is a conflict.
		underWay := e.Status == http.StatusConflict && in.header[keyHeader] != "" && attempt > 1
		return e.RetryAfter, (e.Temporary() || underWay) && e.RetryAfter <= c.opts.MaxWait
	}
	return 0, !errors.Is(err, errToken) && !errors.Is(err, errUsers)
}

// forgets tells whether a call was refused for the position that it brought, as
// one of a service that was here before, and forgets that.
func (c *Client) forgets(in *call, e *Error) bool {
	if in.behind == "" || e.Status != http.StatusBadRequest || e.Target != "position" {
		return false
	}
	c.own.forget(*in.of, in.behind)
	return true
}

// backoff is how long to wait after that attempt: anything up to the doubled
// wait, and never less than was asked for.
func (c *Client) backoff(attempt int, asked time.Duration) time.Duration {
	most := min(c.opts.Backoff<<min(attempt-1, 16), c.opts.MaxWait)
	return asked + rand.N(most+1) //nolint:gosec // it spreads load
}

// now is the clock's time.
func (c *Client) now() time.Time { return c.opts.Clock.Now() }

var errToken = errors.New("client: no token")

// request makes the HTTP request of a call.
func (c *Client) request(ctx context.Context, in *call) (*http.Request, error) {
	token, err := c.opts.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	u := *c.base
	escaped := make([]string, len(in.path))
	for i, s := range in.path {
		escaped[i] = url.PathEscape(s)
	}
	u.Path = strings.TrimRight(c.base.Path, "/") + "/" + strings.Join(in.path, "/")
	u.RawPath = strings.TrimRight(c.base.EscapedPath(), "/") + "/" + strings.Join(escaped, "/")
	u.RawQuery = in.query
	r, err := http.NewRequestWithContext(ctx, in.method, u.String(), bytes.NewReader(in.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if len(in.body) > 0 || in.stream != nil {
		r.Header.Set("Content-Type", "application/json")
		if in.media != "" {
			r.Header.Set("Content-Type", in.media)
		}
	}
	for name, v := range in.header {
		r.Header.Set(name, v)
	}
	if in.of != nil && in.method != http.MethodPost && in.method != http.MethodPut {
		if in.behind = c.own.newest(*in.of); in.behind != "" {
			r.Header.Set(positionHeader, in.behind)
		}
	}
	if in.stream != nil {
		r.Body, r.GetBody, r.ContentLength = in.stream(), nil, -1
	}
	return r, nil
}

// try makes a call once.
func (c *Client) try(ctx context.Context, in *call) (*answer, error) {
	r, err := c.request(ctx, in)
	if err != nil {
		return nil, err
	}
	res, err := c.opts.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("client: the answer has more than %d bytes", maxAnswer)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, refusal(res.StatusCode, res.Header, body, c.now())
	}
	if in.check != nil {
		if err := in.check(body); err != nil {
			return nil, err
		}
	}
	if position := res.Header.Get(positionHeader); position != "" && in.of != nil {
		c.own.wrote(*in.of, position)
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}
