package gateway

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// bulk is one bulk request on its way: many lines, one append, one reply. It is
// reused, so that a line costs no allocation of its own.
type bulk struct {
	decoder
	rec journal.Record
	now int64
	// arena holds key and record of the good lines, faults the reply of the bad
	// ones; both one after the other.
	arena, faults []byte
	lines         []bulkLine
	good          int
	keyed         bool // one of them has a derived id
	entries       []journal.Entry
	reply         []byte
	scratch       []byte

	// The last host asked for, and whether the caller may act for it.
	lastHost string
	refusal  error
	// hosts count the good lines, at is the present one's.
	hosts []hostLines
	at    int
}

// bulkLine is one line that is not blank.
type bulkLine struct {
	// A good line's key is arena[from:mid], its record arena[mid:to]; a bad
	// one's reply is faults[from:to].
	from, mid, to int
	number        int
	bad           bool
	id            carillon.ID // derived from a key, or zero
}

// postBulk is POST /api/v1/notifications: a notification a line, decoded whole
// before the first is appended.
func (g *Gateway) postBulk(r *httpapi.Request) error {
	p, err := g.bulkCaller(r)
	if err != nil {
		return err
	}
	body, held, err := g.bulkBody(r)
	if err != nil {
		return err
	}
	defer g.budget.give(held)
	b, ok := g.bulks.Get().(*bulk)
	if !ok {
		b = &bulk{}
	}
	defer g.bulks.Put(b)
	if err := b.begin(body, g.cfg.BulkLines, r.Now()); err != nil {
		return err
	}
	g.readLines(b, p, body)
	if len(b.lines) == 0 {
		return carillon.Errorf(carillon.CodeInvalidRequest, "", "the body has no lines; send a notification a line")
	}
	g.metrics.bulkLines.Update(float64(len(b.lines)))
	g.metrics.badLines.Add(len(b.lines) - b.good)
	if err := g.chargeLines(b); err != nil {
		return err
	}
	if err := g.appendLines(r.Context(), b); err != nil {
		return err
	}
	minimal := wantsMinimal(r)
	g.render(b, minimal)
	if minimal {
		r.SetHeader("Preference-Applied", "return=minimal")
	}
	res := &r.Fast().Response
	res.SetStatusCode(200)
	res.Header.SetContentType("application/x-ndjson")
	res.SetBody(b.reply)
	return nil
}

// bulkCaller admits apps that may send, and refuses what a bulk request does not
// understand before it reads on.
func (g *Gateway) bulkCaller(r *httpapi.Request) (*auth.Principal, error) {
	if err := r.RefuseConditional(); err != nil {
		return nil, err
	}
	p, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	switch {
	case p.UserID != "":
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "bulk sends take an app token with the role %s, not a user's", auth.RoleSend)
	case !p.HasRole(auth.RoleSend):
		return nil, carillon.Errorf(carillon.CodeAccessDenied, "Authorization", "the app token needs the role %s", auth.RoleSend)
	case len(r.HeaderBytes(keyHeader)) > 0:
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, keyHeader, "bulk lines have keys of their own: idempotencyKey on each line")
	case rehearsalName(r) != "":
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "validateOnly", "is for single sends; bulk lines are always sent")
	}
	return p, wantsJSON(r, "application/x-ndjson")
}

// bulkBody is the decoded body, and how much of the process's budget it holds.
func (g *Gateway) bulkBody(r *httpapi.Request) (body []byte, held int64, err error) {
	limit := int64(g.cfg.BulkBytes)
	held = int64(r.ContentLength())
	if held < 0 || len(r.HeaderBytes("Content-Encoding")) > 0 {
		held = limit // how much it is shows later
	}
	if !g.budget.take(min(held, limit)) {
		e := carillon.Errorf(carillon.CodeThrottled, "", "bulk requests of %d bytes are under way in this gateway, no more fit; repeat it in a second", g.cfg.BulkBudgetBytes)
		e.RetryAfter = retryAfter
		return nil, 0, e
	}
	held = min(held, limit)
	if body, err = r.Body(int(limit)); err != nil {
		g.budget.give(held)
		return nil, 0, err
	}
	if n := int64(len(body)); n < held {
		g.budget.give(held - n)
		held = n
	}
	return body, held, nil
}

// begin makes room for a body's lines.
func (b *bulk) begin(body []byte, most int, now int64) error {
	count := bytes.Count(body, []byte{'\n'}) + 1
	if count > most {
		return carillon.Errorf(carillon.CodeTooLarge, "", "the body has %d lines, at most %d are allowed", count, most)
	}
	b.now, b.good, b.keyed = now, 0, false
	b.lastHost, b.refusal = "", nil
	b.hosts = b.hosts[:0]
	b.arena = slices.Grow(b.arena[:0], len(body)+len(body)/8)
	b.lines = slices.Grow(b.lines[:0], count)
	b.faults, b.reply = b.faults[:0], b.reply[:0]
	return nil
}

// readLines decodes every line. One bad line does not touch the others; blank
// ones count as lines but are not answered.
func (g *Gateway) readLines(b *bulk, p *auth.Principal, body []byte) {
	for number := 1; len(body) > 0; number++ {
		line := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			body = nil
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		b.lines = append(b.lines, bulkLine{number: number})
		l := &b.lines[len(b.lines)-1]
		if err := g.readLine(b, p, line, l); err != nil {
			l.bad = true
			l.from = len(b.faults)
			b.faults = appendFault(b.faults, carillon.AsError(err), number)
			l.to = len(b.faults)
			continue
		}
		b.good++
		b.hosts[b.at].good++
	}
}

// readLine decodes one line and encodes its record into the arena.
func (g *Gateway) readLine(b *bulk, p *auth.Principal, line []byte, l *bulkLine) error {
	if len(line) > carillon.MaxRequest {
		return carillon.Errorf(carillon.CodeTooLarge, "", "the line has %d bytes, at most %d are allowed", len(line), carillon.MaxRequest)
	}
	if err := b.decode(line, true, b.now); err != nil {
		return err
	}
	if b.host != b.lastHost {
		// The copy matters: this line's host may stand in a buffer that the
		// next line overwrites.
		b.lastHost = strings.Clone(b.host)
		b.refusal = g.admitted(p, b.lastHost, "targetHostName")
		b.countHost(b.lastHost)
	}
	if b.refusal != nil {
		return b.refusal
	}
	u, err := g.lineUser(b)
	if err != nil {
		return err
	}
	l.from = len(b.arena)
	b.arena = u.AppendKey(b.arena)
	l.mid = len(b.arena)
	b.rec.Kind, b.rec.At = journal.KindNotification, b.now
	b.rec.HasRID, b.rec.BodyHash = false, [16]byte{}
	if b.key != "" || b.n.AppNotificationID != "" {
		var k keyed
		k, b.scratch = g.derive(&b.decoder, u, b.key, b.scratch)
		b.rec.RID, b.rec.HasRID, b.rec.BodyHash, l.id = k.rid, k.hasRID, k.hash, b.n.ID
		b.keyed = true
	}
	b.rec.Notification = b.n
	b.arena = b.rec.Append(b.arena)
	l.to = len(b.arena)
	return nil
}

// lineUser is whom a line means: exactly one of userId and subscriptionId.
func (g *Gateway) lineUser(b *bulk) (carillon.User, error) {
	switch {
	case b.user != "" && b.subscription != "":
		return carillon.User{}, carillon.Errorf(carillon.CodeInvalidRequest, "userId", "a line has userId or subscriptionId, not both")
	case b.user != "":
		return carillon.User{Host: b.host, ID: b.user}, carillon.ValidateUserID(b.user)
	case b.subscription != "":
		sub, err := g.subscribed(b.subscription, b.host, b.now)
		if err != nil {
			e := carillon.AsError(err)
			if e.Target == subscriptionHeader {
				e.Target = "subscriptionId"
			}
			return carillon.User{}, e
		}
		return sub.User, nil
	}
	return carillon.User{}, carillon.Errorf(carillon.CodeInvalidRequest, "userId", "a line needs userId or subscriptionId")
}

// appendLines appends the good lines in one call. It is an error only when none
// of them was acknowledged; else each line tells its own fate.
func (g *Gateway) appendLines(ctx context.Context, b *bulk) error {
	b.entries = slices.Grow(b.entries[:0], b.good)
	for i := range b.lines {
		if l := &b.lines[i]; !l.bad {
			b.entries = append(b.entries, journal.Entry{Key: b.arena[l.from:l.mid:l.mid], Value: b.arena[l.mid:l.to:l.to]})
		}
	}
	if b.good == 0 {
		return nil
	}
	err := g.append(ctx, b.entries)
	failed := 0
	for i := range b.entries {
		if e := &b.entries[i]; err != nil && (e.Err != nil || e.Position.Seq == 0) {
			if e.Err == nil {
				e.Err = err
			}
			failed++
		}
	}
	g.metrics.failed.Add(failed)
	g.metrics.notifications.Add(b.good - failed)
	if b.keyed {
		g.noteKeyed(b)
	}
	if failed == b.good {
		return err
	}
	return nil
}

// noteKeyed tells of the acknowledged lines with a derived id where they stand.
func (g *Gateway) noteKeyed(b *bulk) {
	next := 0
	for i := range b.lines {
		l := &b.lines[i]
		if l.bad {
			continue
		}
		e := &b.entries[next]
		next++
		if e.Err == nil && !l.id.IsZero() {
			g.deps.Lookup.Journalled(carillon.HashUserKey(e.Key), e.Position)
		}
	}
}

// render writes the reply: a line for each line, in their order, and the sum.
func (g *Gateway) render(b *bulk, minimal bool) {
	next, accepted := 0, 0
	for i := range b.lines {
		l := &b.lines[i]
		if l.bad {
			b.reply = append(b.reply, b.faults[l.from:l.to]...)
			continue
		}
		e := &b.entries[next]
		next++
		if e.Err != nil {
			b.reply = appendFault(b.reply, carillon.AsError(unknown(e.Err)), l.number)
			continue
		}
		accepted++
		if minimal {
			continue
		}
		if l.id.IsZero() {
			l.id = g.deps.IDs.Positional(carillon.HashUserKey(e.Key), e.Position)
		}
		b.reply = append(b.reply, `{"id":"`...)
		b.reply = l.id.Append(b.reply)
		b.reply = append(b.reply, "\"}\n"...)
	}
	b.reply = append(b.reply, `{"summary":{"lines":`...)
	b.reply = httpapi.AppendInt(b.reply, len(b.lines))
	b.reply = append(b.reply, `,"accepted":`...)
	b.reply = httpapi.AppendInt(b.reply, accepted)
	b.reply = append(b.reply, `,"failed":`...)
	b.reply = httpapi.AppendInt(b.reply, len(b.lines)-accepted)
	b.reply = append(b.reply, "}}\n"...)
}

// appendFault writes a line {"error":{code, message, target, line}}.
func appendFault(dst []byte, e *carillon.Error, line int) []byte {
	dst = append(dst, `{"error":{"code":"`...)
	dst = append(dst, e.Code.String()...)
	dst = append(dst, `","message":`...)
	dst = httpapi.AppendString(dst, e.Message)
	if e.Target != "" {
		dst = append(dst, `,"target":`...)
		dst = httpapi.AppendString(dst, e.Target)
	}
	dst = append(dst, `,"line":`...)
	dst = httpapi.AppendInt(dst, line)
	return append(dst, "}}\n"...)
}

// wantsMinimal tells whether the caller prefers errors and the summary only
// (RFC 7240 §4.2).
func wantsMinimal(r *httpapi.Request) bool {
	for prefer := range bytes.SplitSeq(r.HeaderBytes("Prefer"), []byte{','}) {
		if bytes.EqualFold(bytes.TrimSpace(prefer), []byte("return=minimal")) {
			return true
		}
	}
	return false
}
