package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"carillon"
)

// memory is a store in maps. Its rows are copies, as a real one's are.
type memory struct {
	mu        sync.Mutex
	endpoints map[carillon.User]map[string]carillon.Endpoint
	items     map[carillon.User]map[carillon.Seq]carillon.Item
	idems     map[carillon.RequestID]carillon.Idem
	progress  map[int32]carillon.Progress
	versions  map[string]carillon.Seq // of endpoints, left ones too
	floors    map[carillon.User]carillon.Floor
	syncs     map[carillon.User]carillon.Sync
	owners    map[carillon.AddressHash]carillon.Owner
	dues      []carillon.DueRow
	parked    []carillon.ParkedRow
	members   []carillon.MemberRow
	read      func() // when endpoints are read, if it is set
	counts    map[string]carillon.BroadcastCounts
	itemRows  int
	lateRows  int
	ended     []carillon.Ended
	trims     []carillon.User
	erased    map[carillon.User]carillon.Seq
	erasing   []carillon.ErasedRow
	fault     error
	now       func() int64 // nil: nothing expires
	looked    func()       // when set, called once parked rows were read
}

func newMemory() *memory {
	return &memory{
		endpoints: map[carillon.User]map[string]carillon.Endpoint{},
		items:     map[carillon.User]map[carillon.Seq]carillon.Item{},
		idems:     map[carillon.RequestID]carillon.Idem{},
		progress:  map[int32]carillon.Progress{},
		versions:  map[string]carillon.Seq{},
		floors:    map[carillon.User]carillon.Floor{},
		syncs:     map[carillon.User]carillon.Sync{},
		owners:    map[carillon.AddressHash]carillon.Owner{},
		counts:    map[string]carillon.BroadcastCounts{},
		erased:    map[carillon.User]carillon.Seq{},
	}
}

func (m *memory) Erased(u carillon.User) (carillon.Seq, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.erased[u], m.fault
}

func (m *memory) Erasing(int32) ([]carillon.ErasedRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.erasing), m.fault
}

func (m *memory) Forget(context.Context, *carillon.ErasedRow) error { return nil }

func (m *memory) Forgotten(_ context.Context, row *carillon.ErasedRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.erasing = slices.DeleteFunc(m.erasing, func(r carillon.ErasedRow) bool { return r.Seq == row.Seq })
	return nil
}

func own(u carillon.User) carillon.User {
	return carillon.User{Host: string([]byte(u.Host)), ID: string([]byte(u.ID))}
}

func (m *memory) Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error) {
	m.mu.Lock()
	read := m.read
	m.mu.Unlock()
	if read != nil {
		read()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.endpoints[u] {
		dst = append(dst, e)
	}
	slices.SortFunc(dst, func(a, b carillon.Endpoint) int { return int(a.Incarnation) - int(b.Incarnation) })
	return dst, m.fault
}

func (m *memory) EndpointVersion(u carillon.User, id string) (carillon.Seq, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[u.Key()+" "+id], m.fault
}

func (m *memory) Item(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	it, err := m.Expired(u, created)
	if it != nil && m.now != nil && it.Expires <= m.now() {
		it = nil
	}
	return it, err
}

func (m *memory) Expired(u carillon.User, created carillon.Seq) (*carillon.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.items[u][created]
	if !ok || m.fault != nil {
		return nil, m.fault
	}
	it.Deliveries = slices.Clone(it.Deliveries)
	m.floors[u].Merge(it.Content, &it.State)
	return &it, nil
}

func (m *memory) Items(u carillon.User, before carillon.Seq, n int) ([]*carillon.Item, error) {
	m.mu.Lock()
	created := slices.Sorted(maps.Keys(m.items[u]))
	m.mu.Unlock()
	var items []*carillon.Item
	for _, c := range slices.Backward(created) {
		if (before == 0 || c < before) && len(items) < n {
			it, err := m.Item(u, c)
			if err != nil {
				return nil, err
			}
			if it != nil {
				items = append(items, it)
			}
		}
	}
	return items, nil
}

func (m *memory) Floor(u carillon.User) (carillon.Floor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.floors[u], m.fault
}

func (m *memory) Sync(u carillon.User) (carillon.Sync, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs[u], m.fault
}

func (m *memory) Owner(h carillon.AddressHash) (carillon.Owner, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.owners[h]
	return o, ok, m.fault
}

func (m *memory) Find(u carillon.User, id carillon.ID) (carillon.Seq, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var newest carillon.Seq
	for seq, it := range m.items[u] {
		if it.ID == id {
			newest = max(newest, seq)
		}
	}
	return newest, newest != 0, m.fault
}

func (m *memory) Idem(_ carillon.User, rid carillon.RequestID) (carillon.Idem, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.idems[rid]
	return i, ok, m.fault
}

func (m *memory) Progress(p int32) (carillon.Progress, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress[p], m.fault
}

func (m *memory) Write(rows *carillon.Rows, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return m.fault
	}
	for _, r := range rows.Erased {
		r.User = own(r.User)
		for _, forget := range []func(carillon.User){
			func(u carillon.User) { delete(m.items, u) }, func(u carillon.User) { delete(m.endpoints, u) },
			func(u carillon.User) { delete(m.floors, u) }, func(u carillon.User) { delete(m.syncs, u) },
		} {
			forget(r.User)
		}
		m.erased[r.User] = r.Seq
		m.erasing = append(m.erasing, r)
	}
	for _, r := range rows.Items {
		u := own(r.User)
		if m.items[u] == nil {
			m.items[u] = map[carillon.Seq]carillon.Item{}
		}
		if old, ok := m.items[u][r.Item.Created]; ok && (r.Moved != old.Expires || max(r.Was, old.Created) != old.Feed) {
			// A store would leave the old row, or its place in the feed, behind.
			panic(fmt.Sprintf("item %s expired at %d and stood at %s: not at %d and %s", old.Created, old.Expires, old.Feed, r.Moved, r.Was))
		}
		it := *r.Item
		it.Deliveries = slices.Clone(it.Deliveries)
		it.Body, it.Feed = slices.Clone(it.Body), max(it.Content, it.State.Seq())
		it.Next.Body = slices.Clone(it.Next.Body)
		m.items[u][it.Created] = it
		m.itemRows++
	}
	for _, r := range rows.Outcomes {
		it := m.items[r.User][r.Created]
		m.lateRows++
		for i := range it.Deliveries {
			toast := it.Deliveries[i].Kind == carillon.KindFallback
			if it.Content == r.Content && it.Deliveries[i].Endpoint == r.Endpoint && toast == (r.Kind == carillon.KindFallback) {
				it.Deliveries[i] = r.Delivery
			}
		}
	}
	for _, r := range rows.Endpoints {
		u := own(r.User)
		if m.endpoints[u] == nil {
			m.endpoints[u] = map[string]carillon.Endpoint{}
		}
		m.versions[u.Key()+" "+r.Endpoint.ID] = r.Endpoint.Version
		if r.Left {
			delete(m.endpoints[u], r.Endpoint.ID)
		} else {
			m.endpoints[u][r.Endpoint.ID] = r.Endpoint
		}
	}
	for _, r := range rows.Dues {
		r.Ref.User = own(r.Ref.User)
		m.dues = slices.DeleteFunc(m.dues, func(o carillon.DueRow) bool { return o.At == r.At && o.Ref == r.Ref })
		if !r.Done {
			m.dues = append(m.dues, r)
		}
	}
	for _, r := range rows.Parked {
		r.Ref.User, r.Lane.Host = own(r.Ref.User), host
		m.parked = slices.DeleteFunc(m.parked, func(o carillon.ParkedRow) bool { return o.Ref == r.Ref })
		if !r.Done {
			m.parked = append(m.parked, r)
		}
	}
	for _, r := range rows.Members {
		r.UserID = string([]byte(r.UserID))
		m.members = slices.DeleteFunc(m.members, func(o carillon.MemberRow) bool { return o.Created == r.Created })
		if !r.Done {
			m.members = append(m.members, r)
		}
	}
	slices.SortFunc(m.dues, compareDue)
	slices.SortFunc(m.parked, compareParked)
	for _, r := range rows.Idems {
		m.idems[r.Idem.RID] = r.Idem
	}
	for _, r := range rows.Floors {
		m.floors[own(r.User)] = slices.Clone(r.Floor)
	}
	for _, r := range rows.Syncs {
		y := r.Sync
		y.Recent, y.Endpoints = slices.Clone(y.Recent), slices.Clone(y.Endpoints)
		m.syncs[own(r.User)] = y
	}
	for _, r := range rows.Owners {
		m.owners[r.Address] = r.Owner
	}
	for _, r := range rows.Ended {
		m.ended = append(m.ended, carillon.Ended{
			User: own(r.User), Partition: r.Item.Partition, Created: r.Item.Created, Content: r.Item.Content, ID: r.Item.ID, Delivery: *r.Delivery,
		})
	}
	for _, b := range rows.Broadcasts {
		m.counts[fmt.Sprint(b.Host, b.ID, b.Shard)] = b.Counts
	}
	for _, p := range rows.Positions {
		m.progress[p.Partition] = p
	}
	return nil
}

func (m *memory) ShardCounts(_ int32, host, id string, shard uint8) (carillon.BroadcastCounts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[fmt.Sprint(host, id, shard)], m.fault
}

func (m *memory) TrimUser(u carillon.User, keep int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trims = append(m.trims, u)
	return max(len(m.items[u])-keep, 0), m.fault
}

// waiting counts the hint rows.
func (m *memory) waiting() (dues, parked int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.dues), len(m.parked)
}

func compareRef(a, b carillon.Ref) int {
	return cmp.Or(cmp.Compare(a.Content, b.Content), cmp.Compare(a.User.Key(), b.User.Key()), cmp.Compare(a.Endpoint, b.Endpoint))
}

func compareDue(a, b carillon.DueRow) int {
	return cmp.Or(cmp.Compare(a.At, b.At), compareRef(a.Ref, b.Ref))
}

func compareParked(a, b carillon.ParkedRow) int {
	return cmp.Or(cmp.Compare(a.Lane.Platform, b.Lane.Platform), compareRef(a.Ref, b.Ref))
}

func (m *memory) Due(dst []carillon.DueRow, _ int32, after *carillon.DueRow, n int) ([]carillon.DueRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.dues {
		if len(dst) < n && (after == nil || compareDue(r, *after) > 0) {
			dst = append(dst, r)
		}
	}
	return dst, m.fault
}

func (m *memory) Parked(dst []carillon.ParkedRow, _ int32, by carillon.ParkedLane, after *carillon.ParkedRow, n int) ([]carillon.ParkedRow, error) {
	m.mu.Lock()
	for _, r := range m.parked {
		if r.ParkedLane == by && len(dst) < n && (after == nil || compareParked(r, *after) > 0) {
			dst = append(dst, r)
		}
	}
	looked, fault := m.looked, m.fault
	m.mu.Unlock()
	if looked != nil && len(dst) > 0 {
		looked()
	}
	return dst, fault
}

func (m *memory) ParkedDepth(int32) ([]carillon.ParkedCount, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var counts []carillon.ParkedCount
	for _, r := range m.parked {
		counts = append(counts, carillon.ParkedCount{ParkedLane: r.ParkedLane, Rows: 1})
	}
	return counts, m.fault
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = err
}

func (m *memory) item(u carillon.User, seq carillon.Seq) *carillon.Item {
	it, _ := m.Item(u, seq)
	return it
}
