package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"carillon"
	"carillon/internal/auth"
	"carillon/journal"
)

const benchHost = "app.example.com"

func benchGateway(tb testing.TB, j Journal) (*Gateway, *auth.Principal) {
	tb.Helper()
	apps, err := carillon.NewApps([]carillon.App{{Host: benchHost, Clients: []string{"c"}, Identities: []carillon.Identity{
		{Platform: carillon.IOS, AppID: "com.example.app"}, {Platform: carillon.Android, AppID: "com.example.app"},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	g := New(Config{}, Deps{
		Apps: func() *carillon.Apps { return apps }, Journal: j, IDs: &carillon.IDKey{1},
		Clock: &carillon.Clock{}, Log: slog.New(slog.DiscardHandler), Partitions: 4,
	})
	return g, &auth.Principal{Client: "c", Roles: []string{auth.RoleEndpoints}}
}

func benchImport(rest string) []byte {
	var text bytes.Buffer
	for i := range benchLines {
		fmt.Fprintf(&text, `{"userId":"dev.user-%09d","installationId":"%032x","host":%q,%s}`+"\n",
			i*7919%1_000_000, i, benchHost, strings.ReplaceAll(rest, "#", fmt.Sprintf("%064x", i)))
	}
	return text.Bytes()
}

func importPass(tb testing.TB, im *importer, g *Gateway, p *auth.Principal, body io.Reader) {
	tb.Helper()
	im.begin(g, p)
	if err := im.run(tb.Context(), body); err != nil {
		tb.Fatal(err)
	}
	if im.accepted != benchLines {
		tb.Fatalf("%d good lines: %.300s", im.accepted, im.reply())
	}
}

func BenchmarkImportLine(b *testing.B) {
	for _, c := range []struct{ name, rest string }{
		{"ios", `"platform":"ios","address":"#","appId":"com.example.app"`},
		{"android", `"platform":"android","address":"c1Nq3#:APA91b-#_#","appId":"com.example.app","locale":"de-CH","push":"withPayload"`},
		{"windows", `"platform":"windows","address":"https://db5.notify.windows.com/?token=#"`},
		{"exported", `"platform":"ios","address":"#","appId":"com.example.app","push":"withPayload","expirationDateTime":"2999-12-24T04:39:00.906Z","registeredDateTime":"2026-11-24T04:39:00.906Z"`},
	} {
		b.Run(c.name, func(b *testing.B) {
			g, p := benchGateway(b, &nullJournal{})
			body, im := benchImport(c.rest), newImporter()
			importPass(b, im, g, p, bytes.NewReader(body))
			b.ReportAllocs()
			for b.Loop() {
				importPass(b, im, g, p, bytes.NewReader(body))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchLines, "ns/line")
			b.ReportMetric(float64(len(body))/benchLines, "B/line")
		})
	}
}

// TestImportLineMakesNoGarbage: what is allocated does not grow with the lines.
func TestImportLineMakesNoGarbage(t *testing.T) {
	g, p := benchGateway(t, &nullJournal{})
	body, im := benchImport(`"platform":"ios","address":"#","appId":"com.example.app","push":"withPayload","expirationDateTime":"2999-12-24T04:39:00.906Z"`), newImporter()
	importPass(t, im, g, p, bytes.NewReader(body))
	if n := testing.AllocsPerRun(5, func() { importPass(t, im, g, p, bytes.NewReader(body)) }); n > 80 {
		t.Errorf("%v allocations for %d lines", n, benchLines)
	}
}

// TestImportReadsAnyPieces: it does not matter how a body is cut.
func TestImportReadsAnyPieces(t *testing.T) {
	g, p := benchGateway(t, &nullJournal{})
	im := newImporter()
	long := `{"x":"` + strings.Repeat("x", 2*importBuffer) + `"}`
	body := strings.Join([]string{`{"userId":"a","installationId":"i","platform":"polling"}`, "", long, "{}", "\r", long}, "\n")
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"half":     iotest.HalfReader,
		"with EOF": iotest.DataErrReader,
		"bytes":    iotest.OneByteReader,
	} {
		im.begin(g, p)
		if err := im.run(t.Context(), cut(strings.NewReader(body))); err != nil {
			t.Fatal(err)
		}
		if im.number != 6 || im.lines != 4 || im.accepted != 1 || im.failed != 3 || im.decided != 6 {
			t.Errorf("%s: number %d, lines %d, accepted %d, failed %d, decided %d", name, im.number, im.lines, im.accepted, im.failed, im.decided)
		}
	}
	im.begin(g, p)
	if err := im.run(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// FuzzImportLine: whatever the line, it is refused or makes a record that says
// what the line says, as encoding/json reads it.
func FuzzImportLine(f *testing.F) {
	for _, s := range []string{
		`{"userId":"dev.a","installationId":"i","host":"app.example.com","platform":"ios","address":"aabb","appId":"com.example.app"}`,
		`{"userId":"dev.a","installationId":"\u0069","platform":"polling","push":"none","locale":"de","expirationDateTime":"2999-12-24T04:39:00.906Z"}`,
		`{"userId":"dev.a","installationId":"i","platform":"windows","address":"https://a.notify.windows.com/?token=1","x":[{"y":null}]}`,
		`{"userId":null,"platform":"web"}`, `{}`, `[`, "\xff", `{"userId":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	kept, im := &keepingJournal{}, newImporter()
	g, p := benchGateway(f, kept)
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		im.begin(g, p)
		if err := im.run(t.Context(), bytes.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		for l := range bytes.Lines(im.reply()) {
			if !json.Valid(l) {
				t.Fatalf("not JSON: %s", l)
			}
		}
		if im.accepted == 0 {
			return
		}
		var want struct{ UserID, InstallationID, Address, AppID, Environment, Locale string }
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("taken, but not JSON: %v", err)
		}
		var rec journal.Record
		if err := rec.Decode(kept.value); err != nil {
			t.Fatal(err)
		}
		e := rec.Endpoint
		// encoding/json finds members in any case and takes the last of many;
		// only where the line has none of that must both agree.
		if strings.Count(strings.ToLower(string(line)), `"userid"`) != 1 || !exactNames(line) {
			return
		}
		got := want
		got.UserID, got.InstallationID = strings.TrimPrefix(kept.key, benchHost+"/"), e.ID
		got.Address, got.Environment, got.Locale = e.Address, e.Environment, e.Locale
		if want.AppID != "" {
			got.AppID = e.AppID
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-line +record):\n%s", d)
		}
		if err := e.Validate(); err != nil || e.Expires == 0 {
			t.Errorf("%+v: %v", e, err)
		}
	})
}

// exactNames tells whether every member that json would match is spelled as the
// door spells it.
func exactNames(line []byte) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(line, &m) != nil {
		return false
	}
	for name := range m {
		if importMember([]byte(name)) == importUnknown {
			for _, known := range []string{"userId", "installationId", "address", "appId", "environment", "locale"} {
				if strings.EqualFold(name, known) {
					return false
				}
			}
		}
	}
	return true
}

// keepingJournal keeps the last record.
type keepingJournal struct {
	nullJournal
	key   string
	value []byte
}

func (j *keepingJournal) Append(ctx context.Context, entries []journal.Entry) error {
	for i := range entries {
		j.key, j.value = string(entries[i].Key), bytes.Clone(entries[i].Value)
	}
	return j.nullJournal.Append(ctx, entries)
}
