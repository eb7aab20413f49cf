package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"carillon"
	"carillon/store"
)

func seqs() *rapid.Generator[carillon.Seq] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(0, 5000), func(o int64) carillon.Seq { return carillon.MakeSeq(1, o) }),
		rapid.Map(rapid.Uint64(), func(v uint64) carillon.Seq { return carillon.Seq(v) }),
	)
}

func times() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(accepted-1000, accepted+1_000_000), rapid.Int64())
}

func deliveries() *rapid.Generator[carillon.Delivery] {
	return rapid.Custom(func(t *rapid.T) carillon.Delivery {
		return carillon.Delivery{
			Endpoint: rapid.String().Draw(t, "endpoint"), Incarnation: seqs().Draw(t, "incarnation"), Addressed: seqs().Draw(t, "addressed"),
			Platform: carillon.Platform(rapid.Byte().Draw(t, "platform")), Kind: carillon.Kind(rapid.Byte().Draw(t, "kind")),
			Attempts: rapid.Byte().Draw(t, "attempts"), Handed: times().Draw(t, "handed"), Answered: times().Draw(t, "answered"),
			Outcome: carillon.Outcome{
				Class:  carillon.Class(rapid.Byte().Draw(t, "class")),
				Reason: rapid.OneOf(rapid.SampledFrom([]string{"", "BadDeviceToken", "replaced"}), rapid.String()).Draw(t, "reason"),
				Status: rapid.Uint16().Draw(t, "status"), After: time.Duration(rapid.Int64().Draw(t, "after")),
				Since: times().Draw(t, "since"), Unsent: rapid.Bool().Draw(t, "unsent"),
			},
		}
	})
}

func ids() *rapid.Generator[carillon.ID] {
	return rapid.Custom(func(t *rapid.T) (id carillon.ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "id"))
		return id
	})
}

func TestItemRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &carillon.Item{
			Created: seqs().Draw(t, "created"), Content: seqs().Draw(t, "content"), Partition: rapid.Int32().Draw(t, "partition"), ID: ids().Draw(t, "id"),
			Accepted: times().Draw(t, "accepted"), Journalled: times().Draw(t, "journalled"), Planned: times().Draw(t, "planned"), Expires: times().Draw(t, "expires"),
			Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"), Deliveries: rapid.SliceOfN(deliveries(), 0, 4).Draw(t, "deliveries"),
			State: carillon.State{
				Read: rapid.Bool().Draw(t, "read"), Action: carillon.UserAction(rapid.Byte().Draw(t, "action")), Deleted: rapid.Bool().Draw(t, "deleted"),
				ReadSeq: seqs().Draw(t, "readSeq"), ActionSeq: seqs().Draw(t, "actionSeq"),
			},
		}
		row := store.AppendItem(nil, want)
		var got carillon.Item
		if err := store.DecodeItem(row, want.Created, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, &got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
		expires, err := store.ItemExpires(row)
		if err != nil || expires != want.Expires {
			t.Fatalf("ItemExpires = %d, %v, want %d", expires, err, want.Expires)
		}
	})
}

func TestOutcomeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := carillon.OutcomeRow{
			User: alice, Created: seqs().Draw(t, "created"), Content: seqs().Draw(t, "content"), Expires: times().Draw(t, "expires"),
			Delivery: deliveries().Draw(t, "delivery"),
		}
		key := store.AppendOutcomeKey(nil, 9, &want)
		got := carillon.OutcomeRow{User: alice}
		if !store.ReadOutcomeKey(key[store.SplitKey(key):], &got) {
			t.Fatal("the key is not read")
		}
		row := store.AppendOutcome(nil, &want)
		if err := store.DecodeOutcome(row, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
		if rank, err := store.OutcomeRank(row); err != nil || rank != store.Rank(&want.Delivery) {
			t.Fatalf("OutcomeRank = %d, %v, want %d", rank, err, store.Rank(&want.Delivery))
		}
	})
}

func TestSmallRowsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := carillon.Endpoint{
			ID: "e", Platform: carillon.Platform(rapid.Byte().Draw(t, "platform")), Address: rapid.String().Draw(t, "address"),
			AppID: rapid.String().Draw(t, "app"), Environment: rapid.String().Draw(t, "environment"), Locale: rapid.String().Draw(t, "locale"),
			Push: carillon.Preference(rapid.Byte().Draw(t, "push")), Expires: times().Draw(t, "expires"), Incarnation: seqs().Draw(t, "incarnation"),
			Addressed: seqs().Draw(t, "addressed"), Version: seqs().Draw(t, "version"), Registered: times().Draw(t, "registered"),
		}
		var got carillon.Endpoint
		left, err := store.DecodeEndpoint(store.AppendEndpoint(nil, &want, false), "e", &got)
		if d := cmp.Diff(want, got); d != "" || left || err != nil {
			t.Fatalf("left %v, %v (-want +got)\n%s", left, err, d)
		}
		left, err = store.DecodeEndpoint(store.AppendEndpoint(nil, &want, true), "e", &got)
		if !left || err != nil || got.Version != want.Version || got.Expires != want.Expires {
			t.Fatalf("tombstone: left %v, %v, %+v", left, err, got)
		}

		idem := carillon.Idem{RID: carillon.RequestID{1}, BodyHash: [16]byte(ids().Draw(t, "hash")), ID: ids().Draw(t, "id"), Seq: seqs().Draw(t, "seq"), Expires: times().Draw(t, "idem expires")}
		var m carillon.Idem
		if err := store.DecodeIdem(store.AppendIdem(nil, &idem), idem.RID, &m); err != nil || m != idem {
			t.Fatalf("%+v, %v, want %+v", m, err, idem)
		}
		f := store.Ref{Created: idem.Seq, Expires: idem.Expires}
		if g, err := store.DecodeRef(store.AppendRef(nil, f)); err != nil || g != f {
			t.Fatalf("%+v, %v, want %+v", g, err, f)
		}
		p := carillon.Progress{Partition: 5, Applied: seqs().Draw(t, "applied"), Settled: seqs().Draw(t, "settled")}
		if q, err := store.DecodeProgress(store.AppendProgress(nil, p), 5); err != nil || q != p {
			t.Fatalf("%+v, %v, want %+v", q, err, p)
		}
	})
}

func TestRankIsATotalOrderOfEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := deliveries().Draw(t, "a"), deliveries().Draw(t, "b")
		a.Outcome.Class = carillon.Class(rapid.IntRange(0, carillon.Classes-1).Draw(t, "class a"))
		b.Outcome.Class = carillon.Class(rapid.IntRange(0, carillon.Classes-1).Draw(t, "class b"))
		if a.Outcome.Class.Terminal() && !b.Outcome.Class.Terminal() && store.Rank(&a) <= store.Rank(&b) {
			t.Fatalf("open %v outranks %v", b.Outcome.Class, a.Outcome.Class)
		}
		if a.Outcome.Class == carillon.Accepted && store.Rank(&b) > store.Rank(&a) {
			t.Fatalf("%v outranks Accepted", b.Outcome.Class)
		}
	})
}
