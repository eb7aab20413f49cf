package store_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/store"
)

// FuzzRows: no bytes make a decoder panic or take more than they are worth, and
// what decodes encodes to what decodes to the same.
func FuzzRows(f *testing.F) {
	f.Add(store.AppendItem(nil, sampleItem()))
	f.Add(store.AppendItem(nil, plainItem()))
	f.Add(store.AppendOutcome(nil, sampleOutcome()))
	f.Add(store.AppendEndpoint(nil, sampleEndpoint(), false))
	f.Add(store.AppendEndpoint(nil, sampleEndpoint(), true))
	f.Add(store.AppendIdem(nil, sampleIdem()))
	f.Add(store.AppendRef(nil, store.Ref{Created: 5, Expires: 6}))
	f.Add(store.AppendPlace(nil, sampleItem()))
	f.Add(store.AppendProgress(nil, carillon.Progress{Applied: 5, Settled: 6}))
	f.Add(store.AppendMember(nil, &carillon.MemberRow{UserID: "dev.alice", Expires: accepted}))
	f.Add(store.AppendOutcome(nil, dueOutcome()))
	f.Add(store.AppendItem(nil, parkedItem()))
	f.Add(store.AppendHint(nil, carillon.KindTap, accepted))
	f.Add(store.AppendLedger(nil, sampleLedger()))
	f.Add(sampleEnded())
	f.Add(store.AppendOutcome(nil, openedOutcome()))
	f.Add(store.AppendSync(nil, sampleSync()))
	f.Add(store.AppendEndedFrom(nil, 7))
	f.Add(store.AppendFloor(nil, carillon.Floor{{Change: carillon.Change{Read: carillon.Set}, Before: 7, At: 9, When: 3}}, accepted))
	f.Add(store.AppendSync(nil, &carillon.Sync{
		Expires: accepted, Recent: []carillon.ClearedID{{At: 7}}, Endpoints: []carillon.EndpointSync{{Endpoint: "phone", Owed: 7, Due: 5}},
	}))
	f.Add(store.AppendOwner(nil, &carillon.Owner{User: "a.example/dev.alice", Installation: "phone", Claimed: 7, Expires: accepted}))
	f.Add(store.AppendCounts(nil, &carillon.BroadcastCounts{Notifications: 2, Planned: 3, Terminal: [carillon.Classes]int64{carillon.Accepted: 3}}, accepted))
	f.Fuzz(func(t *testing.T, row []byte) {
		again := func(what string, once []byte, decode func(b []byte) ([]byte, error)) {
			twice, err := decode(once)
			if err != nil || !bytes.Equal(once, twice) {
				t.Errorf("%s: %x became %x, %v", what, once, twice, err)
			}
		}
		try := func(what string, decode func(b []byte) ([]byte, error)) {
			if once, err := decode(row); err == nil {
				again(what, once, decode)
			}
		}
		try("item", func(b []byte) ([]byte, error) {
			var it, bare carillon.Item
			err := store.DecodeItem(b, 77, &it)
			if err2 := store.DecodeContent(b, 77, &bare); err == nil {
				whole := it
				whole.Deliveries = nil
				if d := cmp.Diff(whole, bare); err2 != nil || d != "" {
					t.Errorf("without deliveries: %v %s", err2, d)
				}
			}
			return store.AppendItem(nil, &it), err
		})
		try("outcome", func(b []byte) ([]byte, error) {
			o := carillon.OutcomeRow{Created: 77}
			err := store.DecodeOutcome(b, &o)
			return store.AppendOutcome(nil, &o), err
		})
		try("endpoint", func(b []byte) ([]byte, error) {
			var e carillon.Endpoint
			left, err := store.DecodeEndpoint(b, "e", &e)
			return store.AppendEndpoint(nil, &e, left), err
		})
		try("idem", func(b []byte) ([]byte, error) {
			var m carillon.Idem
			err := store.DecodeIdem(b, carillon.RequestID{}, &m)
			return store.AppendIdem(nil, &m), err
		})
		try("reference", func(b []byte) ([]byte, error) {
			r, err := store.DecodeRef(b)
			return store.AppendRef(nil, r), err
		})
		try("place", func(b []byte) ([]byte, error) {
			var it carillon.Item
			r, whole, err := store.DecodePlace(b, &it)
			if head, err2 := store.DecodeRef(b); err == nil && (err2 != nil || head != r) {
				t.Errorf("its head alone is %v, %v", head, err2)
			}
			if !whole {
				return store.AppendRef(nil, r), err
			}
			// The reference has an expiry of its own, which in what we write is the item's.
			it.Next = carillon.Next{}
			return store.AppendItem(store.AppendRef(nil, r), &it), err
		})
		try("hint", func(b []byte) ([]byte, error) {
			kind, expires, err := store.DecodeHint(b)
			return store.AppendHint(nil, kind, expires), err
		})
		try("floor", func(b []byte) ([]byte, error) {
			f, expires, err := store.DecodeFloor(b)
			return store.AppendFloor(nil, f, expires), err
		})
		try("sync", func(b []byte) ([]byte, error) {
			var y carillon.Sync
			err := store.DecodeSync(b, &y)
			return store.AppendSync(nil, &y), err
		})
		try("owner", func(b []byte) ([]byte, error) {
			var o carillon.Owner
			err := store.DecodeOwner(b, &o)
			return store.AppendOwner(nil, &o), err
		})
		try("ledger", func(b []byte) ([]byte, error) {
			l := carillon.LedgerRow{From: 77}
			err := store.DecodeLedger(b, &l)
			return store.AppendLedger(nil, &l), err
		})
		try("ended", func(b []byte) ([]byte, error) {
			var run store.EndedRun
			run.Begin(0)
			_, err := store.DecodeEnded(b, 3, 0, func(e *carillon.Ended) bool {
				run.Begin(e.Written)
				return true
			})
			if err != nil {
				return nil, err
			}
			_, err = store.DecodeEnded(b, 3, 0, func(e *carillon.Ended) bool {
				it := &carillon.Item{Created: e.Created, Content: e.Content, ID: e.ID, Accepted: e.Accepted}
				run.Add(&carillon.EndedRow{User: e.User, Item: it, Delivery: &e.Delivery})
				return true
			})
			return run.Value, err
		})
		try("ended from", func(b []byte) ([]byte, error) {
			from, err := store.DecodeEndedFrom(b)
			return store.AppendEndedFrom(nil, from), err
		})
		try("broadcast", func(b []byte) ([]byte, error) {
			c, expires, err := store.DecodeCounts(b)
			return store.AppendCounts(nil, &c, expires), err
		})
		try("member", func(b []byte) ([]byte, error) {
			m := carillon.MemberRow{Partition: 3, Host: "a.example", ID: "cast", Created: 77}
			key := store.AppendMemberKey(nil, &m)
			var got carillon.MemberRow
			err := store.DecodeMember(key, b, &got)
			if err == nil && got.Created != m.Created {
				t.Errorf("a member of %s is at %s", m.Created, got.Created)
			}
			return store.AppendMember(nil, &got), err
		})
		try("progress", func(b []byte) ([]byte, error) {
			p, err := store.DecodeProgress(b, 0)
			return store.AppendProgress(nil, p), err
		})
	})
}

// FuzzKeys: no bytes make the readers of keys panic.
func FuzzKeys(f *testing.F) {
	f.Add(store.AppendItemKey(nil, 3, alice, 5))
	f.Add(store.AppendOutcomeKey(nil, 3, sampleOutcome()))
	f.Add(store.AppendDirectoryKey(nil, 3, store.KindItem))
	f.Add(store.AppendDueKey(nil, sampleDue()))
	f.Add(store.AppendParkedKey(nil, sampleParked()))
	f.Add(store.AppendLedgerKey(nil, 3, 5))
	f.Add(store.AppendEndedKey(nil, 3, 5))
	f.Add(store.AppendFeedKey(nil, 3, alice, 9, 5))
	f.Add(store.AppendErasing(store.AppendErasingKey(nil, 3, 5), &carillon.ErasedRow{User: alice, Addresses: []carillon.VacatedAddress{{Version: 4}}}))
	f.Fuzz(func(t *testing.T, key []byte) {
		var due carillon.DueRow
		if store.ReadDueKey(key, &due) {
			var again carillon.DueRow
			if !store.ReadDueKey(store.AppendDueKey(nil, &due), &again) || again.At != due.At || again.Ref.Endpoint != due.Ref.Endpoint {
				t.Errorf("%x was read as %+v, then as %+v", key, due, again)
			}
		}
		store.ReadParkedKey(key, &carillon.ParkedRow{})
		store.LaneOfKey(key)
		store.ReadLedgerKey(key, &carillon.LedgerRow{})
		store.ReadEndedKey(key)
		n := store.SplitKey(key)
		if n > len(key) || n < len(key) && store.SplitKey(key[:n]) != n {
			t.Errorf("%x splits at %d, its prefix at %d", key, n, store.SplitKey(key[:n]))
		}
		store.ReadUser(key, n)
		if e, ok := store.ReadFeedKey(key[n:]); ok {
			again := store.AppendFeedKey(nil, 3, alice, e.Seq, e.Created)
			if back, ok := store.ReadFeedKey(again[store.SplitKey(again):]); !ok || back != e {
				t.Errorf("%x was read as %v, then as %v", key, e, back)
			}
		}
		if at, _, ok := store.NewestFirst(key[n:]); ok {
			if back, _, ok := store.NewestFirst(store.AppendNewestFirst(nil, at)); !ok || back != at {
				t.Errorf("%x was read as %v, then as %v", key, at, back)
			}
		}
		store.ReadErasing(key, key[n:])
		_ = store.DecodeMember(key, key[n:], &carillon.MemberRow{})
		store.ReadOutcomeKey(key[n:], &carillon.OutcomeRow{})
		store.ReadDirectoryKey(key)
	})
}
