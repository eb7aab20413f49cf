package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// What bounds an import, whatever the length of its body.
const (
	importBuffer = 256 << 10 // bytes read at once
	importArena  = 1 << 20   // bytes of keys and records in a batch, about
	importLines  = 4096      // records in a batch
	importFaults = 1000      // bad lines that are told, not only counted
	importWaste  = 16 << 20  // bytes that are no lines: a small body may decode to any number
	maxIdleReads = 100
)

// importer is one import under way. One batch is being filled from the body
// while the one before it is being journalled, and a batch is handed to the
// journal only when the one before is acknowledged: so one user's lines keep
// their order. It is reused.
type importer struct {
	g   *Gateway
	p   *auth.Principal
	now int64

	buf      []byte
	line     importLine
	rec      journal.Record
	number   int  // of the line at hand
	waste    int  // bytes of blank lines and behind the start of too long ones
	skipping bool // the rest of a line that is too long

	filling, flying *importBatch
	acked           chan error
	underway        bool

	// The last host asked for, and whether the caller may act for it.
	asked   bool
	host    string
	app     *carillon.App
	refusal error

	lines, accepted, failed int
	decided                 int // all lines up to this number are durable or refused
	told                    int
	faults                  []byte
}

// importBatch is what goes to the journal in one append.
type importBatch struct {
	arena   []byte
	records []importRecord
	entries []journal.Entry
	last    int // the number of the last line read before it went
}

// importRecord is a record's place: its key is arena[from:mid], its value
// arena[mid:to].
type importRecord struct{ from, mid, to, number int }

func newImporter() *importer {
	batch := func() *importBatch {
		return &importBatch{
			arena:   make([]byte, 0, importArena+maxRegistration),
			records: make([]importRecord, 0, importLines),
			entries: make([]journal.Entry, 0, importLines),
		}
	}
	return &importer{buf: make([]byte, importBuffer), filling: batch(), flying: batch(), acked: make(chan error, 1)}
}

func (im *importer) begin(g *Gateway, p *auth.Principal) {
	im.g, im.p = g, p
	im.number, im.waste, im.skipping = 0, 0, false
	im.lines, im.accepted, im.failed, im.decided, im.told = 0, 0, 0, 0, 0
	im.faults = im.faults[:0]
	im.fresh()
}

// end lets go of what belongs to one caller.
func (im *importer) end() {
	im.g, im.p, im.app, im.refusal, im.host = nil, nil, nil, nil, ""
	im.line.endpoint, im.rec.Endpoint = carillon.Endpoint{}, carillon.Endpoint{}
}

// fresh empties the batch that is filled next. Time and rights are looked at
// once a batch: an import may last for hours.
func (im *importer) fresh() {
	b := im.filling
	b.arena, b.records, b.entries = b.arena[:0], b.records[:0], b.entries[:0]
	im.now, im.asked = im.g.deps.Clock.UnixMilli(), false
}

// run reads the body to its end and journals it. It returns when nothing is
// under way any more.
func (im *importer) run(ctx context.Context, body io.Reader) error {
	err := im.read(ctx, body)
	if err == nil && len(im.filling.records) > 0 {
		err = im.flush(ctx)
	}
	if settled := im.settle(); err == nil {
		err = settled
	}
	if err == nil {
		im.decided = im.number
	}
	return err
}

// takeLines takes the whole lines of text, of which the first seen bytes have none;
// what follows the last is the rest.
func (im *importer) takeLines(ctx context.Context, text []byte, seen int) (rest []byte, err error) {
	for {
		i := bytes.IndexByte(text[seen:], '\n')
		if i < 0 {
			return text, nil
		}
		if err := im.take(ctx, text[:seen+i]); err != nil {
			return nil, err
		}
		text, seen = text[seen+i+1:], 0
	}
}

// read takes the body apart into lines.
func (im *importer) read(ctx context.Context, body io.Reader) error {
	held, idle := 0, 0
	for {
		n, err := body.Read(im.buf[held:])
		rest, ferr := im.takeLines(ctx, im.buf[:held+n], held)
		switch {
		case ferr != nil:
			return ferr
		case errors.Is(err, io.EOF):
			if len(rest) > 0 {
				return im.take(ctx, rest)
			}
			return nil
		case err != nil:
			return err
		case n > 0:
			idle = 0
		default:
			if idle++; idle > maxIdleReads {
				return io.ErrNoProgress
			}
		}
		if len(rest) > maxRegistration { // its start is enough to refuse it
			im.skip(rest)
			rest = nil
		}
		if im.waste > importWaste {
			return carillon.Errorf(carillon.CodeTooLarge, "", "blank lines and the rests of too long ones take more than %d bytes", importWaste)
		}
		held = copy(im.buf, rest)
	}
}

// skip refuses a line of which only the start was read.
func (im *importer) skip(start []byte) {
	if !im.skipping {
		im.number++
		im.lines++
		im.refuse(tooLong(len(start)), im.number)
	}
	im.skipping = true
	im.waste += len(start)
}

func tooLong(n int) *carillon.Error {
	return carillon.Errorf(carillon.CodeTooLarge, "", "the line has %d bytes or more, at most %d are allowed", n, maxRegistration)
}

// take journals one line, or refuses it. The error is the journal's.
func (im *importer) take(ctx context.Context, line []byte) error {
	if im.skipping { // its end
		im.skipping = false
		return nil
	}
	im.number++
	if line = bytes.TrimSpace(line); len(line) == 0 {
		im.waste++
		return nil
	}
	im.lines++
	if err := im.encode(line); err != nil {
		im.refuse(carillon.AsError(err), im.number)
		return nil
	}
	if b := im.filling; len(b.records) == importLines || len(b.arena) >= importArena {
		return im.flush(ctx)
	}
	return nil
}

// encode adds a line's record to the batch.
func (im *importer) encode(line []byte) error {
	if len(line) > maxRegistration {
		return tooLong(len(line))
	}
	d, b := &im.line, im.filling
	if err := d.decode(line); err != nil {
		return err
	}
	if err := im.admit(); err != nil {
		return err
	}
	r := importRecord{from: len(b.arena), number: im.number}
	b.arena = carillon.User{Host: im.app.Host, ID: d.user}.AppendKey(b.arena)
	r.mid = len(b.arena)
	im.rec.Kind, im.rec.At, im.rec.Endpoint = journal.KindEndpoint, im.now, d.endpoint
	b.arena = im.rec.Append(b.arena)
	r.to = len(b.arena)
	b.records = append(b.records, r)
	return nil
}

// flush waits for the batch under way and sends the filled one after it.
func (im *importer) flush(ctx context.Context) error {
	if err := im.settle(); err != nil {
		return err
	}
	im.filling, im.flying = im.flying, im.filling
	b, g, acked := im.flying, im.g, im.acked
	b.last = im.number
	for i := range b.records {
		r := &b.records[i]
		b.entries = append(b.entries, journal.Entry{Key: b.arena[r.from:r.mid:r.mid], Value: b.arena[r.mid:r.to:r.to]})
	}
	im.underway = true
	go func() { acked <- g.append(ctx, b.entries) }()
	im.fresh()
	return nil
}

// settle waits for the batch under way, if there is one, and counts it. What
// the journal refuses for its own sake is a bad line; that it cannot be reached
// ends the import.
func (im *importer) settle() error {
	if !im.underway {
		return nil
	}
	err := <-im.acked
	im.underway = false
	b := im.flying
	accepted, failed := 0, 0
	var stop error
	for i := range b.entries {
		e := &b.entries[i]
		if err == nil || e.Err == nil && e.Position.Seq != 0 {
			accepted++
			continue
		}
		failed++
		fault := e.Err
		if fault == nil {
			fault = err
		}
		if carillon.AsError(fault).Code == carillon.CodeTooLarge {
			im.refuse(carillon.AsError(fault), b.records[i].number)
		} else {
			stop = fault
		}
	}
	im.accepted += accepted
	im.g.metrics.endpoints.Add(accepted)
	im.g.metrics.failed.Add(failed)
	if stop == nil {
		im.decided = b.last
	}
	return stop
}

// refuse counts a bad line, and tells it unless many were told.
func (im *importer) refuse(e *carillon.Error, line int) {
	im.failed++
	im.g.metrics.badLines.Inc()
	if im.told < importFaults {
		im.told++
		im.faults = appendFault(im.faults, e, line)
	}
}

// reply is the bad lines and the sum. The importer's buffer holds it.
func (im *importer) reply() []byte {
	dst := append(im.faults, `{"summary":{"lines":`...) //nolint:gocritic // the same buffer, taken back below
	dst = httpapi.AppendInt(dst, im.lines)
	dst = append(dst, `,"accepted":`...)
	dst = httpapi.AppendInt(dst, im.accepted)
	dst = append(dst, `,"failed":`...)
	dst = httpapi.AppendInt(dst, im.failed)
	dst = append(dst, "}}\n"...)
	im.faults = dst
	return dst
}

// broken tells of an import that did not reach its end what is durable.
func (im *importer) broken(err error) error {
	var told *carillon.Error
	if !errors.As(err, &told) {
		told = &carillon.Error{Code: carillon.CodeInvalidRequest, Message: "the body broke off", Cause: err}
		err = told
	}
	if told.Code == carillon.CodeUnavailable { // the journal's word is about sends
		told = &carillon.Error{Code: told.Code, RetryAfter: max(told.RetryAfter, retryAfter), Cause: err, Message: "the journal does not take endpoints now"}
		err = told
	}
	told.Message += carillon.Errorf(told.Code, "", "; %d endpoints are journalled and stay, lines 1 to %d are decided: send the whole again, or from line %d on; a line sent twice changes nothing",
		im.accepted, im.decided, im.decided+1).Message
	return err
}
