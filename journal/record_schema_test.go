package journal_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"carillon/journal"
)

func schema(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := c.Compile(context.Background(), "record.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().ByName("Record")
}

func TestBytesAgreeWithSchema(t *testing.T) {
	record := schema(t)
	for name, r := range samples() {
		ours := r.Append(nil)
		m := dynamicpb.NewMessage(record)
		if err := proto.Unmarshal(ours, m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		noUnknown(t, name, m)
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s:\n  ours %x\ntheirs %x", name, ours, theirs)
		}
		var back journal.Record
		if err := back.Decode(theirs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		same(t, name, r, back)
	}
}

// noUnknown holds every field that we write to the schema, and the full samples
// to writing every field of it.
func noUnknown(t *testing.T, name string, m protoreflect.Message) {
	t.Helper()
	if u := m.GetUnknown(); len(u) > 0 {
		t.Errorf("%s: %s holds fields that the schema does not name: %x", name, m.Descriptor().FullName(), u)
	}
	top := m.Descriptor().Name() == "Record"
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case m.Has(f) && f.Kind() == protoreflect.MessageKind:
			noUnknown(t, name, m.Get(f).Message())
		case !m.Has(f) && !top && name != "bare":
			t.Errorf("%s: the sample does not write %s", name, f.FullName())
		}
	}
}

// TestValuesAgreeWithSchema reads a few values through the schema, so that two
// fields cannot have changed places.
func TestValuesAgreeWithSchema(t *testing.T) {
	record := schema(t)
	r := samples()["notification"]
	m := dynamicpb.NewMessage(record)
	if err := proto.Unmarshal(r.Append(nil), m); err != nil {
		t.Fatal(err)
	}
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	n := field(m, "notification").Message()
	visual := field(n, "visual").Message()
	for name, pair := range map[string][2]any{
		"at":      {r.At, field(m, "at").Int()},
		"if_seq":  {uint64(r.IfSeq), field(m, "if_seq").Uint()},
		"trace":   {string(r.Trace), string(field(m, "trace").Bytes())},
		"expires": {r.Notification.Expires, field(n, "expires").Int()},
		"title":   {r.Notification.Title, field(visual, "title").String()},
		"body":    {r.Notification.Body, field(visual, "body").String()},
		"raw":     {r.Notification.Raw, field(n, "raw").String()},
		"group":   {r.Notification.Group, field(n, "group").String()},
		"locale":  {r.Notification.Locale, field(n, "locale").String()},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: wrote %v, the schema reads %v", name, pair[0], pair[1])
		}
	}
}
