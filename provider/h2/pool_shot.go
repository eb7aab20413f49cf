package h2

// Shot is one request on its way through a pool. The caller keeps it, and
// unchanged what its Request points to, until its result.
type Shot struct {
	// Request is what is sent; Ref is the pool's. A Shot without a Path is
	// answered [FaultInvalid] without a connection.
	Request
	// Owner is the caller's reference, which comes back as the result's Ref.
	Owner any
	// Unproven asks for quarantine: the server may well refuse it.
	Unproven bool

	since int64 // when it came, unix nanoseconds
	tries uint8
	conn  *PoolConn // that it is, or was last, on
}

// ReasonWaited is the reason of a [FaultUnsent] result for which there was no
// stream in time: sending it again at once would only wait again.
const ReasonWaited = "no connection took it in time"

// kind is the kind of connection that a shot asks for.
func (p *Pool) kind(s *Shot) kind {
	if s.Unproven && p.cfg.Quarantine && p.refusing.Load() {
		return quarantine
	}
	return regular
}

// quarantineQueue is how many shots may wait for quarantine.
func (p *Pool) quarantineQueue() int { return max(p.cfg.MaxInFlight/4, 1) }

// queue holds shots that wait for a stream, oldest first.
type queue struct {
	shots []*Shot
	head  int
}

func (q *queue) len() int { return len(q.shots) - q.head }

func (q *queue) push(s *Shot) { q.shots = append(q.shots, s) }

// pop moves up to n shots to the end of into.
func (q *queue) pop(into []*Shot, n int) []*Shot {
	n = min(n, q.len())
	into = append(into, q.shots[q.head:q.head+n]...)
	clear(q.shots[q.head : q.head+n])
	q.skip(n)
	return into
}

// drop forgets the first.
func (q *queue) drop() {
	q.shots[q.head] = nil
	q.skip(1)
}

// skip moves the head past n places that are empty, and now and then the rest
// to the front.
func (q *queue) skip(n int) {
	if q.head += n; q.head == len(q.shots) {
		q.shots, q.head = q.shots[:0], 0
	} else if q.head > 1024 && q.head > len(q.shots)/2 {
		left := copy(q.shots, q.shots[q.head:])
		clear(q.shots[left:])
		q.shots, q.head = q.shots[:left], 0
	}
}

// unpop puts shots back to the front, in their order.
func (q *queue) unpop(shots []*Shot) {
	q.shots = append(append(make([]*Shot, 0, len(shots)+q.len()), shots...), q.shots[q.head:]...)
	q.head = 0
}

// first is the one that waits longest, or nil.
func (q *queue) first() *Shot {
	if q.len() == 0 {
		return nil
	}
	return q.shots[q.head]
}
