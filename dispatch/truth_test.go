package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// truth is what the journal says of users, worked out record by record without
// any of the dispatcher's machinery.
type truth struct {
	ids   *carillon.IDKey
	users map[carillon.User]*person
	// owner is the registration that an address belongs to: the last one.
	owner map[string]home
}

// home is one installation of one user.
type home struct {
	user carillon.User
	id   string
}

// person is one user.
type person struct {
	items     []*fact
	endpoints map[string]string // address by installation
}

// fact is one notification.
type fact struct {
	id               carillon.ID
	created, content carillon.Seq
	state            carillon.State
	local            bool
	// touched tells that its present content was ever handled: it may have been
	// kept from a device then. At are the endpoints it was planned for.
	touched bool
	at      []home
	// scheduled tells that it waits for its time; next is the record of a version
	// that does, nextLocal what that will be.
	scheduled bool
	next      carillon.Seq
	nextLocal bool
}

func newTruth(ids *carillon.IDKey) *truth {
	return &truth{ids: ids, users: map[carillon.User]*person{}, owner: map[string]home{}}
}

func (w *truth) of(u carillon.User) *person {
	p := w.users[u]
	if p == nil {
		p = &person{endpoints: map[string]string{}}
		w.users[u] = p
	}
	return p
}

// find is the newest item of that id.
func (p *person) find(id carillon.ID) *fact {
	for _, f := range slices.Backward(p.items) {
		if f.id == id {
			return f
		}
	}
	return nil
}

func (f *fact) version() carillon.Seq { return max(f.content, f.state.Seq()) }

func (f *fact) note() {
	if _, handled := f.state.Handled(); handled {
		f.touched = true
	}
}

// apply takes the record at seq in.
func (w *truth) apply(u carillon.User, rec *journal.Record, seq carillon.Seq) {
	p := w.of(u)
	switch rec.Kind {
	case journal.KindNotification:
		w.send(u, p, rec, seq)
	case journal.KindEndpoint:
		e := &rec.Endpoint
		if old, ok := p.endpoints[e.ID]; ok && old != e.Address && w.owner[old] == (home{u, e.ID}) {
			delete(w.owner, old)
		}
		if was, ok := w.owner[e.Address]; ok && was != (home{u, e.ID}) && w.of(was.user).endpoints[was.id] == e.Address {
			delete(w.of(was.user).endpoints, was.id)
		}
		p.endpoints[e.ID], w.owner[e.Address] = e.Address, home{u, e.ID}
	case journal.KindLeave:
		delete(p.endpoints, rec.Leave.Installation)
	case journal.KindChange:
		if c := &rec.Change; c.Floor != 0 {
			for _, f := range p.items {
				if f.content < c.Floor {
					f.state.Apply(c.Change, seq, rec.At)
					f.note()
				}
			}
		} else if f := p.find(c.ID); f != nil && (rec.IfSeq == 0 || rec.IfSeq == f.version()) {
			if f.scheduled {
				var said carillon.State
				said.Apply(c.Change, seq, rec.At)
				if _, done := said.Handled(); done {
					f.state.Delete(seq, rec.At)
				}
				return
			}
			if state := f.state; state.Apply(c.Change, seq, rec.At) { // else nobody sees a difference, and nothing is written
				f.state = state
				if _, done := state.Handled(); done && !f.local {
					f.next = 0
				}
			}
			f.note()
		}
	case journal.KindDelete:
		if f := p.find(rec.Delete.ID); f != nil && (rec.IfSeq == 0 || rec.IfSeq == f.version()) {
			f.state.Delete(seq, rec.At)
			f.next = 0
			f.note()
		}
	case journal.KindErase:
		for id, address := range p.endpoints {
			if w.owner[address] == (home{u, id}) {
				delete(w.owner, address)
			}
		}
		*p = person{endpoints: map[string]string{}}
	case journal.KindRelease:
		for _, f := range p.items {
			rel := &rec.Release
			if f.created != rel.Created || f.state.Deleted || (!f.scheduled || f.content != rel.Content) && f.next != rel.Content {
				continue
			}
			if f.next == rel.Content {
				f.local = f.nextLocal
			}
			f.begin(u, p, seq)
		}
	default:
	}
}

func (w *truth) send(u carillon.User, p *person, rec *journal.Record, seq carillon.Seq) {
	n := &rec.Notification
	f := &fact{id: n.ID, created: seq}
	if n.ID.IsZero() {
		f.id = w.ids.Positional(u.Hash(), carillon.Position{Seq: seq})
	} else if old := p.find(n.ID); old != nil && !old.state.Deleted {
		if f = old; n.DeliverAt > rec.At && !f.scheduled {
			f.next, f.nextLocal = seq, n.LocalState
			return
		}
	}
	if f.created == seq {
		p.items = append(p.items, f)
	}
	f.local = n.LocalState
	f.begin(u, p, seq)
	if f.scheduled = n.DeliverAt > rec.At; f.scheduled {
		f.at = nil
	}
}

// begin gives it its content of seq, which nobody has handled.
func (f *fact) begin(u carillon.User, p *person, seq carillon.Seq) {
	f.content, f.state, f.touched, f.at = seq, carillon.State{}, false, nil
	f.scheduled, f.next = false, 0
	for id := range p.endpoints {
		f.at = append(f.at, home{u, id})
	}
}
