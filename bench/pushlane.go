package bench

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"carillon"
	"carillon/provider/h2"
)

// pushCounter deals the numbers of pushes to all lanes.
type pushCounter struct{ next, limit atomic.Int64 }

// take reserves up to n numbers and returns the first of them.
func (c *pushCounter) take(n int) (first int64, got int) {
	first = c.next.Add(int64(n)) - int64(n)
	return first, int(min(int64(n), max(c.limit.Load()-first, 0)))
}

// pushLane drives one sender, as a lane of dispatch does: one goroutine hands
// batches over when there is room, answers come back in batches.
type pushLane struct {
	sender    carillon.Sender
	platform  carillon.Platform
	addresses []string
	note      *carillon.Notification
	numbers   *pushCounter
	wake      chan struct{}

	batch []carillon.Push // of the goroutine that sends
	taken []*pushSlot

	mu       sync.Mutex
	free     []*pushSlot
	slots    int
	latency  *hdrhistogram.Histogram
	accepted int64
	refused  map[string]int64
}

// pushSlot is one push on its way.
type pushSlot struct {
	endpoint carillon.Endpoint
	sent     time.Time
}

func newPushLane(p carillon.Platform, inFlight int, addresses []string, note *carillon.Notification, numbers *pushCounter) *pushLane {
	l := &pushLane{
		platform: p, addresses: addresses, note: note, numbers: numbers, wake: make(chan struct{}, 1), slots: inFlight,
		batch: make([]carillon.Push, 0, pushBatch), taken: make([]*pushSlot, pushBatch),
	}
	slots := make([]pushSlot, inFlight)
	for i := range slots {
		slots[i].endpoint = endpointOf(p, "")
		l.free = append(l.free, &slots[i])
	}
	l.reset()
	return l
}

// reset forgets what was measured.
func (l *pushLane) reset() {
	l.latency = hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	l.accepted, l.refused = 0, map[string]int64{}
}

// send has all lanes send n pushes together, and waits for their answers.
func send(ctx context.Context, lanes []*pushLane, n int) error {
	c := lanes[0].numbers
	c.limit.Add(int64(n))
	c.next.Store(c.limit.Load() - int64(n))
	var wg sync.WaitGroup
	errs := make([]error, len(lanes))
	for i, l := range lanes {
		l.reset()
		wg.Go(func() { errs[i] = l.run(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run sends until the numbers are used up and everything is answered.
func (l *pushLane) run(ctx context.Context) error {
	for {
		n := l.take(min(l.sender.Room(), pushBatch))
		var first int64
		got := 0
		if n > 0 {
			first, got = l.numbers.take(n)
			l.give(l.taken[got:n])
		}
		switch {
		case got > 0:
			l.hand(first, l.taken[:got])
		case n > 0 && l.idle():
			return nil
		default:
			select {
			case <-l.wake:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// hand makes pushes of numbers and gives them to the sender.
func (l *pushLane) hand(first int64, taken []*pushSlot) {
	l.batch = l.batch[:0]
	at := now()
	for i, s := range taken {
		k := first + int64(i)
		s.sent = at
		s.endpoint.Address = l.addresses[k%int64(len(l.addresses))]
		l.batch = append(l.batch, pushOf(&s.endpoint, l.note, s, k))
	}
	l.sender.Send(l.batch)
}

func endpointOf(p carillon.Platform, address string) carillon.Endpoint {
	return carillon.Endpoint{ID: "phone", Platform: p, AppID: bundle, Address: address}
}

// pushOf is the push of number k.
func pushOf(e *carillon.Endpoint, n *carillon.Notification, ref *pushSlot, k int64) carillon.Push {
	p := carillon.Push{
		Ref: ref, Kind: carillon.KindAlert, Attempt: 1, User: carillon.User{Host: pushHost, ID: "dev.bench"},
		Endpoint: e, Notification: n, Created: carillon.MakeSeq(1, k), Seq: carillon.MakeSeq(1, k),
	}
	binary.BigEndian.PutUint64(p.ID[:], uint64(k)*0x9e3779b97f4a7c15) //nolint:gosec // spread, not counted
	binary.BigEndian.PutUint64(p.ID[8:], uint64(k))                   //nolint:gosec // not negative
	return p
}

// take moves up to n free slots to l.taken.
func (l *pushLane) take(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(len(l.free)-n, 0)
	n = copy(l.taken, l.free[from:])
	l.free = l.free[:from]
	return n
}

func (l *pushLane) give(slots []*pushSlot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, slots...)
}

func (l *pushLane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.free) == l.slots
}

// Answers takes a batch of the sender's answers.
func (l *pushLane) Answers(batch []carillon.Answer) {
	at := now()
	l.mu.Lock()
	for i := range batch {
		s := batch[i].Ref.(*pushSlot) //nolint:forcetypeassert // every push of ours carries one
		_ = l.latency.RecordValue(min(at.Sub(s.sent).Microseconds()+1, time.Minute.Microseconds()))
		if o := &batch[i].Outcome; o.Class == carillon.Accepted {
			l.accepted++
		} else {
			l.refused[o.Class.String()+" "+o.Reason]++
		}
		l.free = append(l.free, s)
	}
	l.mu.Unlock()
	l.RoomAgain()
}

// RoomAgain wakes the one that sends.
func (l *pushLane) RoomAgain() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Latency is how long pushes waited for their answers, in microseconds, from
// the hand-over to the sender.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func latencyOf(lanes []*pushLane) Latency {
	all := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	for _, l := range lanes {
		all.Merge(l.latency)
	}
	at := func(q float64) float64 { return float64(all.ValueAtQuantile(q)) }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(all.Max()), Mean: all.Mean()}
}

// pushMarks are what a run is measured between.
type pushMarks struct {
	at                    time.Time
	cpu                   time.Duration
	bytes, writes, opened uint64
}

// counted is what the senders over HTTP/2 also are.
type counted interface{ Stats() h2.PoolStats }

func marks(lanes []*pushLane) (m pushMarks) {
	for _, l := range lanes {
		if c, ok := l.sender.(counted); ok {
			s := c.Stats()
			m.bytes += s.BytesWritten
			m.writes += s.Writes
			m.opened += s.Connections
		}
	}
	m.at, m.cpu = now(), selfCPU()
	return m
}

// selfCPU is the user and system time of this process (getrusage(2)), which is
// finer than /proc's ticks.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
