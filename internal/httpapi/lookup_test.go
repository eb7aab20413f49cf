package httpapi_test

import (
	"context"
	"errors"
	"testing"

	"carillon"
	"carillon/internal/httpapi"
)

// rows are the items of one user, and those that appear when somebody waits.
type rows struct {
	items  map[carillon.Seq]*carillon.Item
	late   []*carillon.Item
	waited []carillon.Position
	fail   error
}

func (s *rows) Item(_ carillon.User, created carillon.Seq) (*carillon.Item, error) {
	return s.items[created], nil
}

func (s *rows) Find(_ carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error) {
	for seq, it := range s.items {
		if it.ID == id {
			created, ok = max(created, seq), true
		}
	}
	return created, ok, nil
}

func (s *rows) Wait(_ context.Context, pos carillon.Position) error {
	s.waited = append(s.waited, pos)
	for _, it := range s.late {
		s.items[it.Created] = it
	}
	return s.fail
}

func TestLookup(t *testing.T) {
	ids, u := &carillon.IDKey{3}, carillon.User{Host: "app.example.com", ID: "dev.alice"}
	key, other := ids.Derived(u, httpapi.SpaceApp, "key"), ids.Derived(u, httpapi.SpaceApp, "other")
	at := func(seq carillon.Seq) carillon.Position { return carillon.Position{Partition: 2, Seq: seq} }
	here := ids.Positional(u.Hash(), at(7))
	item := func(seq carillon.Seq, id carillon.ID, deleted bool) *carillon.Item {
		return &carillon.Item{Created: seq, ID: id, State: carillon.State{Deleted: deleted}}
	}
	busy := errors.New("busy")
	for name, c := range map[string]struct {
		id         carillon.ID
		items      []*carillon.Item
		late       *carillon.Item
		journalled []carillon.Position
		fail       error
		want       carillon.Seq // of the item; 0 for none
		waits      carillon.Seq // 0: it does not
	}{
		"there":                            {id: key, items: []*carillon.Item{item(5, key, false)}, journalled: []carillon.Position{at(9)}, want: 5},
		"unknown":                          {id: other},
		"unknown, and somebody sends":      {id: other, journalled: []carillon.Position{at(9), at(8)}, waits: 9},
		"unknown, another partition's":     {id: other, journalled: []carillon.Position{{Partition: 1, Seq: 9}}},
		"on its way":                       {id: key, late: item(9, key, false), journalled: []carillon.Position{at(9)}, want: 9, waits: 9},
		"deleted":                          {id: key, items: []*carillon.Item{item(5, key, true)}, want: 5},
		"deleted, the next is on its way":  {id: key, items: []*carillon.Item{item(5, key, true)}, late: item(9, key, false), journalled: []carillon.Position{at(9)}, want: 9, waits: 9},
		"too long on its way":              {id: key, journalled: []carillon.Position{at(9)}, fail: busy, waits: 9},
		"by its place":                     {id: here, items: []*carillon.Item{item(7, carillon.ID{}, false)}, journalled: []carillon.Position{at(9)}, want: 7},
		"by its place, deleted":            {id: here, items: []*carillon.Item{item(7, carillon.ID{}, true)}, journalled: []carillon.Position{at(9)}, want: 7},
		"by its place, on its way":         {id: here, late: item(7, carillon.ID{}, false), want: 7, waits: 7},
		"by its place, expired or nowhere": {id: here, waits: 7},
	} {
		s := &rows{items: map[carillon.Seq]*carillon.Item{}, fail: c.fail}
		if c.late != nil {
			s.late = append(s.late, c.late)
		}
		for _, it := range c.items {
			s.items[it.Created] = it
		}
		l := httpapi.NewLookup(s, ids, s, 4, func(carillon.User) int32 { return 2 })
		for _, pos := range c.journalled {
			l.Journalled(u.Hash(), pos)
		}
		var got, waited carillon.Seq
		it, err := l.Item(t.Context(), u, c.id)
		if it != nil {
			got = it.Created
		}
		for _, pos := range s.waited {
			waited = max(waited, pos.Seq)
		}
		if got != c.want || waited != c.waits || !errors.Is(err, c.fail) || len(s.waited) > 1 {
			t.Errorf("%s: found %v, waited for %v, %v", name, got, s.waited, err)
		}
	}
}

// TestLookupOfManyPartitions: there is a slot for each.
func TestLookupOfManyPartitions(t *testing.T) {
	u := carillon.User{Host: "app.example.com", ID: "dev.alice"}
	for _, partitions := range []int{1, 64, 1<<16 - 1} {
		s := &rows{}
		last := int32(partitions - 1)
		l := httpapi.NewLookup(s, &carillon.IDKey{}, s, partitions, func(carillon.User) int32 { return last })
		l.Journalled(u.Hash(), carillon.Position{Partition: last, Seq: 3})
		if _, err := l.Item(t.Context(), u, carillon.ID{1}); err != nil || len(s.waited) != 1 || s.waited[0].Seq != 3 {
			t.Errorf("%d partitions: waited for %v, %v", partitions, s.waited, err)
		}
	}
}
