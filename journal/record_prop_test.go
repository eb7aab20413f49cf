package journal_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"carillon"
	"carillon/journal"
)

func genSeq(t *rapid.T, name string) carillon.Seq { return carillon.Seq(rapid.Uint64().Draw(t, name)) }

func genID(t *rapid.T, name string) (id carillon.ID) {
	if rapid.Bool().Draw(t, name+" there") {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
	}
	return id
}

func genBytes(t *rapid.T, name string) []byte {
	if b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name); len(b) > 0 {
		return b
	}
	return nil
}

func genNotification(t *rapid.T) carillon.Notification {
	text := rapid.String()
	n := carillon.Notification{
		ID: genID(t, "id"), AppNotificationID: text.Draw(t, "key"),
		Accepted: rapid.Int64().Draw(t, "accepted"), Expires: rapid.Int64().Draw(t, "expires"),
		Priority: carillon.Priority(rapid.Byte().Draw(t, "priority")), Targets: carillon.PlatformSet(rapid.Byte().Draw(t, "targets")),
		TTL: rapid.Int32().Draw(t, "ttl"), Group: text.Draw(t, "group"),
		HasVisual: rapid.Bool().Draw(t, "visual"), HasRaw: rapid.Bool().Draw(t, "raw"),
		Options: genBytes(t, "options"), Extra: genBytes(t, "extra"), LocalState: rapid.Bool().Draw(t, "local"),
		DeliverAt: rapid.Int64().Draw(t, "deliverAt"), Broadcast: text.Draw(t, "broadcast"), Locale: text.Draw(t, "locale"),
		Badge: rapid.Int32().Draw(t, "badge"),
	}
	if n.HasVisual {
		n.Title, n.Body = text.Draw(t, "title"), text.Draw(t, "body")
	}
	if n.HasRaw {
		n.Raw = text.Draw(t, "rawContent")
	}
	if rapid.Bool().Draw(t, "fallback") {
		n.Fallback = carillon.Fallback{Delay: rapid.Int32().Draw(t, "delay"), Title: text.Draw(t, "fallbackTitle"), Body: text.Draw(t, "fallbackBody")}
	}
	return n
}

func genEndpoint(t *rapid.T) carillon.Endpoint {
	text := rapid.String()
	return carillon.Endpoint{
		ID: text.Draw(t, "id"), Platform: carillon.Platform(rapid.Byte().Draw(t, "platform")), Address: text.Draw(t, "address"),
		AppID: text.Draw(t, "appID"), Environment: text.Draw(t, "environment"), Locale: text.Draw(t, "locale"),
		Push: carillon.Preference(rapid.Byte().Draw(t, "push")), Expires: rapid.Int64().Draw(t, "expires"),
		Incarnation: genSeq(t, "incarnation"), Addressed: genSeq(t, "addressed"), Version: genSeq(t, "version"),
		Registered: rapid.Int64().Draw(t, "registered"),
	}
}

func genChange(t *rapid.T) journal.Change {
	c := journal.Change{
		ID: genID(t, "id"), Created: genSeq(t, "created"), Floor: genSeq(t, "floor"), Installation: rapid.String().Draw(t, "installation"),
		Change: carillon.Change{Read: carillon.Mark(rapid.Byte().Draw(t, "read")), HasAction: rapid.Bool().Draw(t, "hasAction")},
		More:   rapid.Bool().Draw(t, "more"),
	}
	if c.HasAction {
		c.Action = carillon.UserAction(rapid.Byte().Draw(t, "action"))
	}
	return c
}

func genRecord(t *rapid.T) journal.Record {
	text := rapid.String()
	r := journal.Record{
		Version: rapid.Uint32Min(1).Draw(t, "version"), Kind: journal.Kind(rapid.ByteRange(0, 12).Draw(t, "kind")),
		At: rapid.Int64().Draw(t, "at"), HasRID: rapid.Bool().Draw(t, "hasRID"), BodyHash: genID(t, "bodyHash"),
		IfSeq: genSeq(t, "ifSeq"), Trace: genBytes(t, "trace"),
	}
	if r.HasRID {
		r.RID = carillon.RequestID(genID(t, "rid"))
	}
	switch r.Kind {
	case journal.KindNotification:
		r.Notification = genNotification(t)
	case journal.KindEndpoint:
		r.Endpoint = genEndpoint(t)
	case journal.KindLeave:
		r.Leave = journal.Leave{Installation: text.Draw(t, "i"), Incarnation: genSeq(t, "in"), Addressed: genSeq(t, "ad"), Reason: text.Draw(t, "r")}
	case journal.KindChange:
		r.Change = genChange(t)
	case journal.KindDelete:
		r.Delete = journal.Delete{ID: genID(t, "id"), Created: genSeq(t, "c"), Installation: text.Draw(t, "i")}
	case journal.KindClaim:
		r.Claim = journal.Claimed{Address: genBytes(t, "a"), User: text.Draw(t, "u"), Installation: text.Draw(t, "i"), Seq: genSeq(t, "s")}
	case journal.KindEvict:
		r.Evict = journal.Evict{Installation: text.Draw(t, "i"), Version: genSeq(t, "v")}
	case journal.KindRelease:
		r.Release = journal.Release{ID: genID(t, "id"), Created: genSeq(t, "c"), Content: genSeq(t, "s")}
	case journal.KindAck:
		r.Ack = journal.Ack{Installation: text.Draw(t, "i"), Incarnation: genSeq(t, "in"), Position: genSeq(t, "p")}
		for range rapid.IntRange(0, 3).Draw(t, "opened") {
			r.Ack.Opened = append(r.Ack.Opened, genID(t, "o"))
			r.Ack.Fetched = append(r.Ack.Fetched, genID(t, "f"))
		}
	case journal.KindErase:
		r.Erase = journal.Erase{By: text.Draw(t, "by")}
	case journal.KindNone, journal.KindForeign:
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRecord(t)
		prefix := []byte("in front")
		b := want.Append(bytes.Clone(prefix))
		if !bytes.HasPrefix(b, prefix) {
			t.Fatalf("what stood in front was overwritten: %q", b)
		}
		got := journal.Record{Kind: journal.KindErase, Erase: journal.Erase{By: "left over"}}
		if err := got.Decode(b[len(prefix):]); err != nil {
			t.Fatal(err)
		}
		same(t, "round trip", want, got)
	})
}

// FuzzRecord: decoding never panics, and what decodes is stable: encoded and
// decoded again it is the same.
func FuzzRecord(f *testing.F) {
	for _, r := range samples() {
		f.Add(r.Append(nil))
	}
	f.Add([]byte{0x08, 0x02, 0x10, 0xac, 0x02, 0x8a, 0x06, 0x03, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, second journal.Record
		if first.Decode(b) != nil {
			return
		}
		onlyKind(&first)
		once := first.Append(nil)
		if err := second.Decode(once); err != nil {
			t.Fatalf("%x: encoded anew it does not decode: %v", b, err)
		}
		same(t, "decoded again", first, second)
		if again := second.Append(nil); !bytes.Equal(once, again) {
			t.Fatalf("encoded again %x, before %x", again, once)
		}
	})
}

// onlyKind drops what Append does not write: parts that the kind does not name.
func onlyKind(r *journal.Record) {
	k := journal.Record{Version: max(r.Version, 1), Kind: r.Kind, At: r.At, RID: r.RID, HasRID: r.HasRID, BodyHash: r.BodyHash, IfSeq: r.IfSeq}
	if len(r.Trace) > 0 {
		k.Trace = r.Trace
	}
	switch r.Kind {
	case journal.KindNotification:
		k.Notification = r.Notification
		if n := &k.Notification; r.Body == nil { // the part was not there at all
			n.TTL, n.Badge = -1, -1
		} else {
			n.Options, n.Extra = orNil(n.Options), orNil(n.Extra)
		}
	case journal.KindEndpoint:
		k.Endpoint = r.Endpoint
	case journal.KindLeave:
		k.Leave = r.Leave
	case journal.KindChange:
		k.Change = r.Change
	case journal.KindDelete:
		k.Delete = r.Delete
	case journal.KindClaim:
		k.Claim = r.Claim
		k.Claim.Address = orNil(k.Claim.Address)
	case journal.KindEvict:
		k.Evict = r.Evict
	case journal.KindRelease:
		k.Release = r.Release
	case journal.KindAck:
		k.Ack = r.Ack
	case journal.KindErase:
		k.Erase = r.Erase
	case journal.KindNone, journal.KindForeign:
	}
	*r = k
}

func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
