package gateway

import (
	"context"
	"sync/atomic"
	"time"
)

// patience gives requests the context under which they wait for the journal. It
// is shared by those that begin within a quarter of the time: a timer and a
// context for each of them cost as much as decoding them. So who waits is let go
// after the configured time, or up to a quarter later.
type patience struct {
	most time.Duration
	now  atomic.Pointer[shared]
}

// shared is a context for whoever begins before until.
type shared struct {
	context.Context //nolint:containedctx // it is what is shared

	parent context.Context //nolint:containedctx // of which it is made
	until  time.Time
}

// from is the context for a request that begins at now, of its server's parent.
func (p *patience) from(parent context.Context, now time.Time) context.Context {
	s := p.now.Load()
	if s != nil && s.parent == parent && now.Before(s.until) && !now.Before(s.until.Add(-p.most/4)) {
		return s.Context
	}
	ctx, cancel := context.WithTimeout(parent, p.most+p.most/4)
	context.AfterFunc(ctx, cancel) // its own end, or its parent's, is the only one
	p.now.CompareAndSwap(s, &shared{Context: ctx, parent: parent, until: now.Add(p.most / 4)})
	return ctx
}
