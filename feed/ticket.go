package feed

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

const (
	ticketLife  = time.Minute
	ticketNonce = 12
	maxTaken    = 64 << 10 // tickets taken within the last minute
)

// ticket lets its bearer follow a user's feed once, soon: EventSource sends no
// Authorization header.
type ticket struct {
	user    carillon.User
	expires int64 // of the ticket, milliseconds since 1970
	until   int64 // of the token that it was made with
	nonce   [ticketNonce]byte
}

// ticket answers POST …/feed/tickets.
func (f *Feed) ticket(r *httpapi.Request) error {
	u, err := f.caller(r, lister())
	if err != nil {
		return err
	}
	if err := (&options{}).known(r); err != nil {
		return err
	}
	p, _ := r.Principal.(*auth.Principal)
	t := ticket{user: u, expires: r.Now() + ticketLife.Milliseconds(), until: p.Expires}
	_, _ = rand.Read(t.nonce[:]) // never fails since Go 1.24
	text := t.seal(f.deps.Key)
	url := append(r.AppendBase(nil), strings.TrimSuffix(strings.TrimSuffix(r.Path(), "/"), "/tickets")...)
	url = append(append(url, "/events?ticket="...), text...)
	dst := httpapi.AppendString(append(r.Scratch(), `{"ticket":`...), text)
	dst = httpapi.AppendString(append(dst, `,"url":`...), url)
	dst = httpapi.AppendTime(append(dst, `,"expirationDateTime":`...), t.expires)
	r.JSON(fasthttp.StatusCreated, append(dst, '}'))
	return nil
}

func (t *ticket) seal(k *Key) string {
	b := append(make([]byte, 0, 128), tokenVersion, byte(tokenTicket))
	b = binary.AppendVarint(b, t.expires)
	b = binary.AppendVarint(b, t.until)
	b = append(b, t.nonce[:]...)
	b = appendText(b, t.user.Host)
	b = appendText(b, t.user.ID)
	b = append(b, k.mac(carillon.User{}, b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func openTicket(k *Key, text string) (t ticket, ok bool) {
	if len(text) > maxToken || strings.ContainsAny(text, "\r\n") {
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2+ticketNonce+macBytes {
		return t, false
	}
	body, mac := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if !hmac.Equal(mac, k.mac(carillon.User{}, body)) || body[0] != tokenVersion || linkKind(body[1]) != tokenTicket {
		return t, false
	}
	r := tokenReader{b: body[2:]}
	t.expires, t.until = r.varint(), r.varint()
	if len(r.b) < ticketNonce {
		return t, false
	}
	copy(t.nonce[:], r.b)
	r.b = r.b[ticketNonce:]
	t.user = carillon.User{Host: r.text(), ID: r.text()}
	return t, !r.bad && len(r.b) == 0
}

// tickets remembers which were taken, so that each lets in once. What another
// process of the installation let in it does not know of.
type tickets struct {
	since int64 // when the process began: what was taken before is forgotten

	mu    sync.Mutex
	taken map[[ticketNonce]byte]int64 // and when the ticket expires
}

func newTickets(now int64) *tickets {
	return &tickets{since: now, taken: make(map[[ticketNonce]byte]int64)}
}

// take opens a ticket at now and makes it useless.
func (ts *tickets) take(k *Key, text string, now int64) (ticket, error) {
	t, ok := openTicket(k, text)
	fault := func(what string) (ticket, error) {
		return ticket{}, carillon.Errorf(carillon.CodeAccessDenied, "ticket", "%s: get another with POST …/feed/tickets", what)
	}
	switch {
	case !ok:
		return fault("this is no ticket of this service")
	case t.expires <= now, t.expires-ticketLife.Milliseconds() < ts.since:
		return fault("expired: a ticket is good for 60 seconds")
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if _, was := ts.taken[t.nonce]; was {
		return fault("used: a ticket is good for once")
	}
	if len(ts.taken) >= maxTaken {
		for nonce, expires := range ts.taken {
			if expires <= now {
				delete(ts.taken, nonce)
			}
		}
	}
	if len(ts.taken) >= maxTaken {
		e := carillon.Errorf(carillon.CodeThrottled, "ticket", "too many live feeds are opened by ticket")
		e.RetryAfter = 10 * time.Second
		return ticket{}, e
	}
	ts.taken[t.nonce] = t.expires
	return t, nil
}
