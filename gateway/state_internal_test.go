package gateway

import (
	"testing"

	"carillon"
	"carillon/journal"
)

func TestBecame(t *testing.T) {
	const at = 10
	deletedAt := func(seq carillon.Seq) *carillon.Item {
		it := &carillon.Item{Created: 5}
		if seq != 0 {
			it.State.Delete(seq, 1)
		}
		return it
	}
	f := func(name string, kind journal.Kind, it *carillon.Item, later, took bool, want int) {
		t.Helper()
		if got := became(kind, at, it, later, took); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	change, remove := journal.KindChange, journal.KindDelete
	f("changed", change, deletedAt(0), false, false, 200)
	f("changed, deleted later", change, deletedAt(11), false, false, 204)
	f("a scheduled one, taken back by it", change, deletedAt(10), false, false, 204)
	f("deleted before", change, deletedAt(9), false, false, 404)
	f("changed, then gone", change, nil, false, false, 204)
	f("changed, another follows", change, deletedAt(11), true, false, 204)
	f("this one or one between", change, deletedAt(9), true, false, 202)
	f("done to one between", change, deletedAt(9), true, true, 204)
	f("done", change, deletedAt(0), false, true, 200)
	f("done, deleted later", change, deletedAt(11), false, true, 204)
	f("deleted by it", remove, deletedAt(10), false, false, 204)
	f("deleted by it, another follows", remove, deletedAt(10), true, false, 204)
	f("deleted by another", remove, deletedAt(9), false, false, 404)
	f("that or one between", remove, deletedAt(9), true, false, 202)
	f("gone, by itself or by this", remove, nil, false, false, 202)
	f("gone, and done", remove, nil, false, true, 204)
	f("there: refused as expired, by another clock", remove, deletedAt(0), false, false, 202)
}
