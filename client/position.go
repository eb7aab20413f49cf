package client

import (
	"bytes"
	"encoding/base64"
	"strings"
	"sync"
)

const (
	// positionHeader carries where a write stands; a read that brings it back
	// waits, bounded, until the write is applied.
	positionHeader = "ReadWriteConsistencyToken"
	// maxPositions bounds the users whose newest write is known, twice over.
	maxPositions = 10_000
)

// whose is the user that a call is about. User is "" for the token's own, host for
// the only app that the token may act for.
type whose struct{ host, user string }

func about(host, user string) *whose { return &whose{strings.ToLower(host), user} }

// positions are where the newest own write of each user stands. Beyond
// maxPositions users those that wrote last stay. It is safe for concurrent use.
type positions struct {
	mu         sync.Mutex
	young, old map[whose]string
}

// newest is where the user's newest write stands; "" when none is known.
func (p *positions) newest(of whose) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.young[of]; ok {
		return s
	}
	return p.old[of]
}

// wrote notes a write. Answers may come in another order than their writes.
func (p *positions) wrote(of whose, position string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(of, position)
	if of.host != "" {
		p.note(whose{user: of.user}, position)
	}
}

func (p *positions) note(of whose, position string) {
	had, ok := p.young[of]
	if !ok {
		had = p.old[of]
	}
	if before(position, had) {
		position = had
	}
	if !ok && len(p.young) >= maxPositions {
		p.old, p.young = p.young, nil
	}
	if p.young == nil {
		p.young = make(map[whose]string)
	}
	p.young[of] = position
}

// forget forgets a position that the service does not know.
func (p *positions) forget(of whose, position string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range []map[whose]string{p.young, p.old} {
		if m[of] == position {
			delete(m, of)
		}
	}
}

// before tells whether position a stands before b. To everybody else positions
// are opaque; the service makes them so that those of one partition compare by
// their bytes behind version and partition (internal/httpapi/position.go). Of what
// does not compare neither stands before the other.
func before(a, b string) bool {
	const head = 3 // version, partition
	x, errA := base64.RawURLEncoding.DecodeString(a)
	y, errB := base64.RawURLEncoding.DecodeString(b)
	return errA == nil && errB == nil && len(x) == len(y) && len(x) > head && bytes.Equal(x[:head], y[:head]) && bytes.Compare(x, y) < 0
}
