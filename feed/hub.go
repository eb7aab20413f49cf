package feed

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"carillon"
)

// hub knows who follows live.
type hub struct {
	cfg Config
	// followed counts the streams by the upper bits of their users' hashes, so
	// that a tap for somebody whom nobody follows takes no lock.
	followed [hubBuckets]atomic.Int32

	mu      sync.Mutex
	streams map[uint64][]*stream // by user hash; users who share one wake together
	n       int

	opened, refused, events *vm.Counter
}

const (
	hubBits    = 12
	hubBuckets = 1 << hubBits
)

// stream is one live feed.
type stream struct {
	user carillon.User
	hash uint64
	wake chan struct{} // capacity 1
	upTo atomic.Uint64 // the highest seq that was tapped
}

func newHub(cfg Config) *hub {
	h := &hub{
		cfg: cfg, streams: make(map[uint64][]*stream),
		opened:  vm.GetOrCreateCounter("carillon_feed_streams_opened_total"),
		refused: vm.GetOrCreateCounter("carillon_feed_streams_refused_total"),
		events:  vm.GetOrCreateCounter("carillon_feed_events_total"),
	}
	return h
}

// join adds a stream of the user, unless there are too many.
func (h *hub) join(u carillon.User) (*stream, error) {
	s := &stream{user: u, hash: u.Hash(), wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	of := 0
	for _, other := range h.streams[s.hash] {
		if other.user == u {
			of++
		}
	}
	if h.n >= h.cfg.MaxStreams || of >= h.cfg.MaxUserStreams {
		h.refused.Inc()
		e := carillon.Errorf(carillon.CodeThrottled, "", "this gateway serves %d live feeds and %d of one user, not more: close one, or ask the delta instead", h.cfg.MaxStreams, h.cfg.MaxUserStreams)
		e.RetryAfter = 10 * time.Second
		return nil, e
	}
	h.n++
	h.opened.Inc()
	h.streams[s.hash] = append(h.streams[s.hash], s)
	h.followed[s.hash>>(64-hubBits)].Add(1)
	return s, nil
}

// leave takes a stream away.
func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := slices.DeleteFunc(h.streams[s.hash], func(other *stream) bool { return other == s })
	if len(rest) == 0 {
		delete(h.streams, s.hash)
	} else {
		h.streams[s.hash] = rest
	}
	h.n--
	h.followed[s.hash>>(64-hubBits)].Add(-1)
}

// tap wakes the streams of a user. It never waits for one.
func (h *hub) tap(hash uint64, p carillon.Position) {
	if h.followed[hash>>(64-hubBits)].Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams[hash] {
		for was := s.upTo.Load(); was < uint64(p.Seq) && !s.upTo.CompareAndSwap(was, uint64(p.Seq)); was = s.upTo.Load() {
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}
