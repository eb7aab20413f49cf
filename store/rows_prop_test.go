package store_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
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
		hint := carillon.Hint(rapid.ByteRange(0, 3).Draw(t, "hint"))
		var due int64
		if hint == carillon.HintDue {
			due = times().Draw(t, "due")
		}
		return carillon.Delivery{
			Hint: hint, Due: due,
			Endpoint: rapid.String().Draw(t, "endpoint"), Incarnation: seqs().Draw(t, "incarnation"), Addressed: seqs().Draw(t, "addressed"),
			Platform: carillon.Platform(rapid.Byte().Draw(t, "platform")), Kind: carillon.Kind(rapid.ByteRange(0, 31).Draw(t, "kind")),
			Parked: times().Draw(t, "parked"), Fetched: times().Draw(t, "fetched"), Opened: times().Draw(t, "opened"),
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
			Scheduled: rapid.Bool().Draw(t, "scheduled"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"), Deliveries: rapid.SliceOfN(deliveries(), 0, 4).Draw(t, "deliveries"),
			State: carillon.State{
				Read: rapid.Bool().Draw(t, "read"), Action: carillon.UserAction(rapid.Byte().Draw(t, "action")), Deleted: rapid.Bool().Draw(t, "deleted"),
				ReadSeq: seqs().Draw(t, "readSeq"), ActionSeq: seqs().Draw(t, "actionSeq"), DeletedSeq: seqs().Draw(t, "deletedSeq"), Changed: times().Draw(t, "changed"),
			},
		}
		if rapid.Bool().Draw(t, "next") {
			want.Next = carillon.Next{Content: max(seqs().Draw(t, "nextContent"), 1), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "nextBody")}
		}
		want.Feed = store.Version(want)
		row := store.AppendItem(nil, want)
		var got carillon.Item
		if err := store.DecodeItem(row, want.Created, &got); err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(want, &got, cmpopts.EquateEmpty()); d != "" {
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
		if d := gocmp.Diff(want, got); d != "" {
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
		if d := gocmp.Diff(want, got); d != "" || left || err != nil {
			t.Fatalf("left %v, %v (-want +got)\n%s", left, err, d)
		}
		left, err = store.DecodeEndpoint(store.AppendEndpoint(nil, &want, true), "e", &got)
		if !left || err != nil || got.Version != want.Version || got.Expires != want.Expires {
			t.Fatalf("tombstone: left %v, %v, %+v", left, err, got)
		}

		var floor carillon.Floor
		for range rapid.IntRange(0, 4).Draw(t, "marks") {
			m := carillon.FloorMark{Before: seqs().Draw(t, "before"), At: seqs().Draw(t, "at"), When: times().Draw(t, "when")}
			m.Read, m.HasAction, m.Action = carillon.Mark(rapid.ByteRange(0, 2).Draw(t, "mark")), rapid.Bool().Draw(t, "has"), carillon.UserAction(rapid.ByteRange(0, 3).Draw(t, "floor action"))
			floor = append(floor, m)
		}
		lowered, expires, err := store.DecodeFloor(store.AppendFloor(nil, floor, got.Expires))
		if d := gocmp.Diff(floor, lowered); d != "" || expires != got.Expires || err != nil {
			t.Fatalf("%d, %v (-want +got)\n%s", expires, err, d)
		}
		owner := carillon.Owner{User: want.Address, Installation: want.AppID, Version: want.Version, Claimed: want.Addressed, Expires: want.Expires}
		for range rapid.IntRange(0, 3).Draw(t, "past") {
			owner.Past = append(owner.Past, carillon.PastOwner{User: rapid.String().Draw(t, "u"), Installation: "i", Version: seqs().Draw(t, "v")})
		}
		var o carillon.Owner
		if err := store.DecodeOwner(store.AppendOwner(nil, &owner), &o); err != nil || gocmp.Diff(owner, o) != "" {
			t.Fatalf("%+v, %v, want %+v", o, err, owner)
		}

		idem := carillon.Idem{RID: carillon.RequestID{1}, BodyHash: [16]byte(ids().Draw(t, "hash")), ID: ids().Draw(t, "id"), Seq: seqs().Draw(t, "seq"), Expires: times().Draw(t, "idem expires"), Refused: carillon.Code(rapid.Byte().Draw(t, "refused"))}
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

func refs() *rapid.Generator[carillon.Ref] {
	return rapid.Custom(func(t *rapid.T) carillon.Ref {
		u := users().Draw(t, "user")
		u.Host = strings.ReplaceAll(u.Host, "/", ".") // as no host has one
		return carillon.Ref{
			User: u, Created: seqs().Draw(t, "created"), Content: seqs().Draw(t, "content"),
			Endpoint: rapid.String().Draw(t, "endpoint"), Kind: carillon.Kind(rapid.Byte().Draw(t, "kind")),
		}
	})
}

func dues() *rapid.Generator[carillon.DueRow] {
	return rapid.Custom(func(t *rapid.T) carillon.DueRow {
		return carillon.DueRow{
			Partition: rapid.Int32Range(0, 3).Draw(t, "partition"), At: times().Draw(t, "at"),
			Ref: refs().Draw(t, "ref"), Expires: times().Draw(t, "expires"),
		}
	})
}

func parked() *rapid.Generator[carillon.ParkedRow] {
	return rapid.Custom(func(t *rapid.T) carillon.ParkedRow {
		return carillon.ParkedRow{
			Partition: rapid.Int32Range(0, 3).Draw(t, "partition"),
			ParkedLane: carillon.ParkedLane{
				Lane: carillon.Lane{Platform: carillon.Platform(rapid.Byte().Draw(t, "platform")), Host: users().Draw(t, "lane").Host},
				Low:  rapid.Bool().Draw(t, "low"), Broadcast: rapid.SampledFrom([]string{"", "a", "\x00", "a\x00b"}).Draw(t, "broadcast"),
			},
			Ref: refs().Draw(t, "ref"), Expires: times().Draw(t, "expires"),
		}
	})
}

func TestHintsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := dues().Draw(t, "due")
		var d carillon.DueRow
		var err error
		if !store.ReadDueKey(store.AppendDueKey(nil, &due), &d) {
			t.Fatal("the due key is not read")
		}
		if d.Ref.Kind, d.Expires, err = store.DecodeHint(store.AppendHint(nil, due.Ref.Kind, due.Expires)); err != nil || d != due {
			t.Fatalf("%+v, %v, want %+v", d, err, due)
		}
		row := parked().Draw(t, "parked")
		key := store.AppendParkedKey(nil, &row)
		p := carillon.ParkedRow{Ref: carillon.Ref{Kind: row.Ref.Kind}, Expires: row.Expires}
		if !store.ReadParkedKey(key, &p) || p != row {
			t.Fatalf("%+v, want %+v", p, row)
		}
		n, by := store.LaneOfKey(key)
		if by != row.ParkedLane || !bytes.Equal(key[:n], store.AppendLaneKey(nil, row.Partition, &by)) {
			t.Fatalf("%+v, %d bytes of %x", by, n, key)
		}
	})
}

// TestHintsSort: due rows sort by their time and parked rows, within a lane, by
// the seq of their content, whatever else differs.
func TestHintsSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := dues().Draw(t, "a"), dues().Draw(t, "b")
		b.Partition = a.Partition
		if c := bytes.Compare(store.AppendDueKey(nil, &a), store.AppendDueKey(nil, &b)); a.At != b.At && c != cmp.Compare(a.At, b.At) {
			t.Fatalf("%d and %d compare as %d", a.At, b.At, c)
		}
		p, q := parked().Draw(t, "p"), parked().Draw(t, "q")
		q.Partition, q.ParkedLane = p.Partition, p.ParkedLane
		if c := bytes.Compare(store.AppendParkedKey(nil, &p), store.AppendParkedKey(nil, &q)); p.Ref.Content != q.Ref.Content && c != cmp.Compare(p.Ref.Content, q.Ref.Content) {
			t.Fatalf("%v and %v compare as %d", p.Ref.Content, q.Ref.Content, c)
		}
		q.ParkedLane = parked().Draw(t, "other").ParkedLane
		lane := store.AppendLaneKey(nil, p.Partition, &p.ParkedLane)
		if bytes.HasPrefix(store.AppendParkedKey(nil, &q), lane) != (q.ParkedLane == p.ParkedLane) {
			t.Fatalf("%v stands among those of %v", q.ParkedLane, p.ParkedLane)
		}
		if above := store.Above(lane); bytes.Compare(store.AppendParkedKey(nil, &p), above) >= 0 || bytes.Compare(above, lane) <= 0 {
			t.Fatalf("%x is not above %x", above, lane)
		}
	})
}

func TestLedgerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := carillon.LedgerRow{
			Partition: rapid.Int32Range(0, 99).Draw(t, "partition"), From: seqs().Draw(t, "from"), To: seqs().Draw(t, "to"),
			Records: rapid.Int64().Draw(t, "records"), Planned: rapid.Int64().Draw(t, "planned"), Open: rapid.Int64().Draw(t, "open"), Expires: times().Draw(t, "expires"),
		}
		for i := range want.Terminal {
			want.Terminal[i] = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "terminal")
		}
		var got carillon.LedgerRow
		if !store.ReadLedgerKey(store.AppendLedgerKey(nil, want.Partition, want.From), &got) {
			t.Fatal("the key is not read")
		}
		row := store.AppendLedger(nil, &want)
		if err := store.DecodeLedger(row, &got); err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
		if expires, err := store.LedgerExpires(row); err != nil || expires != want.Expires {
			t.Fatalf("LedgerExpires = %d, %v", expires, err)
		}
	})
}

func trails() *rapid.Generator[carillon.Trail] {
	return rapid.Custom(func(t *rapid.T) (trail carillon.Trail) {
		for range rapid.IntRange(0, 8).Draw(t, "moments") {
			trail = append(trail, carillon.Moment{Seq: seqs().Draw(t, "seq"), At: times().Draw(t, "when")})
		}
		return trail
	})
}

func TestSyncRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := carillon.Sync{Lost: seqs().Draw(t, "lost"), Expires: times().Draw(t, "expires")}
		for range rapid.IntRange(0, 5).Draw(t, "recent") {
			want.Recent = append(want.Recent, carillon.ClearedID{ID: ids().Draw(t, "id"), At: seqs().Draw(t, "at")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			want.Endpoints = append(want.Endpoints, carillon.EndpointSync{
				Endpoint: rapid.String().Draw(t, "endpoint"), Incarnation: seqs().Draw(t, "incarnation"), Owed: seqs().Draw(t, "owed"),
				Cleared: seqs().Draw(t, "cleared"), Acked: seqs().Draw(t, "acked"), Until: times().Draw(t, "until"), Due: times().Draw(t, "due"),
				Attempts: rapid.Byte().Draw(t, "attempts"), Behind: rapid.Bool().Draw(t, "behind"),
				Seen: trails().Draw(t, "seen"), Told: trails().Draw(t, "told"),
			})
		}
		var got carillon.Sync
		if err := store.DecodeSync(store.AppendSync(nil, &want), &got); err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
	})
}
