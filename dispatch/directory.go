package dispatch

import (
	"strings"
	"unsafe"

	"github.com/dgraph-io/ristretto/v2"

	"carillon"
)

// entry is what the directory knows of one user: an immutable value. Changing a
// user means making another entry.
type entry struct {
	key       string // host/id, of its own memory
	tenure    uint64
	endpoints []carillon.Endpoint
	state     *userState // nil while there is nothing to know
}

// userState is what is known of a user beside his endpoints: an immutable value.
type userState struct {
	floor carillon.Floor
	sync  carillon.Sync
	// floorRow and syncRow are the expiries under which their rows stand; 0 when
	// there is none.
	floorRow, syncRow int64
}

func (e *entry) floor() carillon.Floor {
	if e.state == nil {
		return nil
	}
	return e.state.floor
}

func (e *entry) sync() carillon.Sync {
	if e.state == nil {
		return carillon.Sync{}
	}
	return e.state.sync
}

// cost is about the bytes that the entry holds.
func (e *entry) cost() int64 {
	n := int64(unsafe.Sizeof(*e)) + int64(len(e.key))
	for i := range e.endpoints {
		p := &e.endpoints[i]
		n += int64(unsafe.Sizeof(*p)) + int64(len(p.ID)+len(p.Address)+len(p.AppID)+len(p.Locale)+len(p.Environment))
	}
	if st := e.state; st != nil {
		n += int64(unsafe.Sizeof(*st)) + int64(len(st.floor))*int64(unsafe.Sizeof(carillon.FloorMark{})) +
			int64(len(st.sync.Recent))*int64(unsafe.Sizeof(carillon.ClearedID{})) + int64(len(st.sync.Endpoints))*int64(unsafe.Sizeof(carillon.EndpointSync{}))
	}
	return n
}

// cache is ristretto behind rules that make its lossy, asynchronous Set safe:
// it holds only clean, immutable entries; an entry carries the tenure of its
// partition, and one of another tenure is a miss; and a value replaces another
// only by Del, then a barrier (its buffers are worked off), then Set: without
// the barrier an older Set that is still buffered could come up once more.
// Whoever changes a user keeps him in a shard's overlay until his rows are
// written and that barrier has passed, so a miss always reads what is right.
type cache struct {
	c *ristretto.Cache[uint64, *entry]
}

// newCache makes a cache of about this many bytes.
func newCache(bytes int64) (cache, error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        max(bytes/512*10, 1000), // ten a value, as ristretto advises
		MaxCost:            bytes,
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	return cache{c}, err
}

func (c cache) get(hash uint64, key string, tenure uint64) *entry {
	e, ok := c.c.Get(hash)
	if !ok || e.key != key || e.tenure != tenure {
		return nil
	}
	return e
}

// put offers an entry to a cache that holds no other of this user.
func (c cache) put(hash uint64, e *entry) { c.c.Set(hash, e, e.cost()) }

// drop takes a user out; only after a barrier is he out for good.
func (c cache) drop(hash uint64) { c.c.Del(hash) }

// barrier waits until everything buffered is worked off.
func (c cache) barrier() { c.c.Wait() }

func (c cache) close() { c.c.Close() }

// resident is a user in a shard's overlay: one with records in the works, rows
// not written, or deliveries in flight. Residents are reused.
type resident struct {
	next    *resident // another user of the same hash
	hash    uint64
	home    *shard
	key     string // aliases a fetched batch
	user    carillon.User
	entry   *entry
	tenure  uint64
	live    bool // in the overlay
	loading bool
	cached  bool // entry came from the cache as it is
	changed bool // entry differs from what the cache may hold
	parting bool // idle, and waits for the cache's barrier

	waiting  []record // records that wait for the load
	holds    int      // rows not written and deliveries in flight
	queues   []turn   // endpoints with an unanswered delivery
	pendings *pending // all that is under way for him, the newest first
	keyed    []*pending
	idems    []carillon.Idem // of rows not written yet

	k         *keeper    // of his partition
	touched   []*touched // items whose changed state is not written
	clears    []clearing // what his endpoints are being told
	debts     []debt     // records that wait for that, in order
	owing     bool       // in the shard's list of those to tell something
	more      bool       // and waits for the rest of one call
	asked     int64      // when the first of what is owed was asked for at a door, ms
	syncDirty bool       // its row goes with the next write
}

func (r *resident) idle() bool { return r.holds == 0 && !r.loading && len(r.waiting) == 0 }

// find is the index of the endpoint with this id, or -1.
func (e *entry) find(id string) int {
	for i := range e.endpoints {
		if e.endpoints[i].ID == id {
			return i
		}
	}
	return -1
}

// resident finds or makes the overlay entry of a record's user; one whose
// endpoints are not at hand starts loading.
func (s *shard) resident(rec record) *resident {
	host, id, _ := carillon.SplitUserKey(rec.f.Key)
	return s.residentOf(rec.hash, alias(rec.f.Key), carillon.User{Host: alias(host), ID: alias(id)}, rec.win.k.tenure)
}

func (s *shard) residentOf(hash uint64, key string, u carillon.User, tenure uint64) *resident {
	for r := s.residents[hash]; r != nil; r = r.next {
		if r.key == key {
			return r
		}
	}
	r := s.newResident()
	r.home, r.live = s, true
	r.hash, r.key, r.tenure, r.user = hash, key, tenure, u
	if e := s.d.cache.get(hash, key, r.tenure); e != nil {
		r.entry, r.cached = e, true
		s.d.metrics.cacheHits.Inc()
	} else {
		r.loading = true
		s.missing = append(s.missing, r)
		s.d.metrics.cacheMisses.Inc()
	}
	r.next = s.residents[hash]
	s.residents[hash] = r
	return r
}

// leave takes an idle user out of the overlay; what the cache does not know of
// him goes there. One who changed waits for the next barrier.
func (s *shard) leave(r *resident) {
	switch {
	case !r.live || !r.idle():
	case !r.changed:
		if !r.cached {
			s.d.cache.put(r.hash, r.entry)
		}
		s.remove(r)
	case !r.parting:
		r.parting = true
		s.parting = append(s.parting, r)
		if len(s.parting) == 1 {
			s.partAt = s.now + partEvery
		}
	}
}

// part lets users go who changed and are still idle: their old values are
// dropped, one barrier is waited for, and the new ones are offered.
func (s *shard) part() {
	gone := s.parting[:0]
	for _, r := range s.parting {
		r.parting = false
		if r.idle() {
			s.d.cache.drop(r.hash)
			gone = append(gone, r)
		}
	}
	if len(gone) > 0 {
		s.d.cache.barrier()
	}
	for _, r := range gone {
		s.d.cache.put(r.hash, r.entry)
		s.remove(r)
	}
	clear(s.parting)
	s.parting = s.parting[:0]
}

// remove takes a user out of the overlay.
func (s *shard) remove(r *resident) {
	if first := s.residents[r.hash]; first == r {
		if r.next == nil {
			delete(s.residents, r.hash)
		} else {
			s.residents[r.hash] = r.next
		}
	} else {
		for first.next != r {
			first = first.next
		}
		first.next = r.next
	}
	s.freeResident(r)
}

func (s *shard) newResident() *resident {
	if n := len(s.spareResidents); n > 0 {
		r := s.spareResidents[n-1]
		s.spareResidents = s.spareResidents[:n-1]
		return r
	}
	return &resident{}
}

func (s *shard) freeResident(r *resident) {
	*r = resident{
		waiting: r.waiting[:0], queues: r.queues[:0], keyed: r.keyed[:0], idems: r.idems[:0],
		touched: r.touched[:0], clears: r.clears[:0], debts: r.debts[:0],
	}
	if len(s.spareResidents) < spares {
		s.spareResidents = append(s.spareResidents, r)
	}
}

// loadBatch asks a loader for users' endpoints; the loader fills entries.
type loadBatch struct {
	s       *shard
	users   []*resident // not touched by the loader
	names   []carillon.User
	keys    []string
	tenures []uint64
	entries []*entry
}

const (
	loadBatchSize = 64
	// partEvery is how long changed users wait at most for a cache barrier, ms.
	partEvery = 100
)

// requestLoads hands the users that are missing to the loaders.
func (s *shard) requestLoads() {
	for len(s.missing) > 0 {
		n := min(len(s.missing), loadBatchSize)
		b := &loadBatch{s: s, users: append([]*resident(nil), s.missing[:n]...)}
		for _, r := range b.users {
			b.names = append(b.names, r.user)
			b.keys = append(b.keys, r.key)
			b.tenures = append(b.tenures, r.tenure)
		}
		s.missing = append(s.missing[:0], s.missing[n:]...)
		s.d.loads <- b
	}
}

// load reads a batch of users. A store that fails is asked again until the
// dispatcher stops: nothing is planned on a guess.
func (d *Dispatcher) load(b *loadBatch, again func(error) bool) {
	b.entries = make([]*entry, len(b.users))
	for i, u := range b.names {
		e := &entry{key: strings.Clone(b.keys[i]), tenure: b.tenures[i]}
		for {
			err := d.fill(e, u)
			if err == nil {
				break
			}
			if !again(err) {
				return
			}
		}
		b.entries[i] = e
	}
	b.s.in.loaded(b)
}

// fill reads what the store knows of a user.
func (d *Dispatcher) fill(e *entry, u carillon.User) error {
	eps, err := d.deps.Store.Endpoints(nil, u)
	if err != nil {
		return err
	}
	floor, err := d.deps.Store.Floor(u)
	if err != nil {
		return err
	}
	y, err := d.deps.Store.Sync(u)
	if err != nil {
		return err
	}
	e.endpoints = eps
	if len(floor) > 0 || !y.Empty() {
		e.state = &userState{floor: floor, sync: y, syncRow: y.Expires}
		if len(floor) > 0 {
			e.state.floorRow = floorExpiry(floor)
		}
	}
	return nil
}

// loaded gives the waiting records of loaded users their turn.
func (s *shard) loaded(b *loadBatch) {
	for i, r := range b.users {
		r.entry, r.loading = b.entries[i], false
		for _, rec := range r.waiting {
			s.apply(r, rec)
		}
		r.waiting = r.waiting[:0]
		s.leave(r)
	}
}

// alias is the bytes as a string, without a copy: batches are never written to
// once they are fetched, and what outlives them is cloned.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // see above
}
