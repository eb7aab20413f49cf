package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carillon"
	"carillon/dispatch"
	"carillon/journal"
	"carillon/store/pebble"
)

// auditProblems are told; more are counted.
const auditProblems = 20

// auditor compares what a snapshot of the store holds with itself.
type auditor struct {
	v      *pebble.Snapshot
	report auditReport
	spans  map[int32]*span
	marks  []journal.Mark // of a stopped process's journal
	// scheduled are the items that wait for a release.
	scheduled int64
}

// span is what a partition's ledger covers.
type span struct {
	from, settled carillon.Seq
	planned       int64 // by the ledger
	recounted     int64 // by the items that are there
}

func newAuditor(v *pebble.Snapshot) *auditor {
	return &auditor{v: v, spans: make(map[int32]*span), report: auditReport{
		At: time.UnixMilli(v.Now()).UTC(), Partitions: []auditPartition{}, Deliveries: make(map[string]int64), Problems: []string{},
	}}
}

func (a *auditor) problem(format string, args ...any) {
	a.report.ProblemCount++
	if len(a.report.Problems) < auditProblems {
		a.report.Problems = append(a.report.Problems, fmt.Sprintf(format, args...))
	}
}

func (a *auditor) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{a.ledgers, a.journal, a.items, a.dues, a.parked} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, p := range a.report.Partitions {
		if s := a.spans[p.Partition]; s.recounted > s.planned {
			a.problem("partition %d: its items hold %d settled deliveries, its ledger counted %d only", p.Partition, s.recounted, s.planned)
		}
	}
	if a.scheduled != a.report.Scheduled {
		a.problem("%d notifications wait for their time, but %d releases do", a.scheduled, a.report.Scheduled)
	}
	a.report.Closed = a.report.ProblemCount == 0
	return nil
}

// ledgers checks that each partition's ranges follow each other up to what is
// settled, and that each balances.
func (a *auditor) ledgers(ctx context.Context) error {
	all, err := a.v.Partitions()
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := a.ledger(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (a *auditor) ledger(ctx context.Context, p carillon.Progress) error {
	sum := carillon.LedgerRow{From: p.Settled, To: p.Settled}
	sp := &span{from: p.Settled, settled: p.Settled}
	var ranges int64
	err := a.v.EachLedger(p.Partition, func(row *carillon.LedgerRow) bool {
		if ranges++; ranges == 1 {
			sum.From, sp.from = row.From, row.From
		} else if !follows(sum.To, row.From) {
			a.problem("partition %d: the ledger's range up to %s is followed by one from %s", p.Partition, sum.To, row.From)
		}
		a.balance(row)
		sum.To = row.To
		sum.Records += row.Records
		sum.Planned += row.Planned
		sum.Open += row.Open
		for c, n := range row.Terminal {
			sum.Terminal[c] += n
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	if !follows(sum.To, p.Settled) {
		a.problem("partition %d: the ledger ends at %s, but %s is settled", p.Partition, sum.To, p.Settled)
	}
	sp.planned = sum.Planned
	a.spans[p.Partition] = sp
	out := auditPartition{
		Partition: p.Partition, From: sum.From.String(), Settled: p.Settled.String(), Applied: p.Applied.String(),
		Ranges: ranges, Records: sum.Records, Planned: sum.Planned, Open: sum.Open, Terminal: make(map[string]int64),
	}
	for c, n := range sum.Terminal {
		if n != 0 {
			out.Terminal[carillon.Class(c).String()] = n
		}
	}
	a.report.Partitions = append(a.report.Partitions, out)
	return nil
}

// journal checks that the store is not behind what was settled of its journal,
// nor ahead of it.
func (a *auditor) journal(context.Context) error {
	all, err := a.v.Partitions()
	if err != nil {
		return err
	}
	for i := range a.marks {
		m := &a.marks[i]
		var p carillon.Progress
		if at := slices.IndexFunc(all, func(p carillon.Progress) bool { return p.Partition == m.Partition }); at >= 0 {
			p = all[at]
		}
		if err := dispatch.Fits(p, m.Start, m.Committed, m.End); err != nil {
			a.problem("partition %d %v", m.Partition, err)
		}
	}
	return nil
}

// follows tells whether nothing lies between to and from: they are one, or from
// is where the journal of a later epoch begins.
func follows(to, from carillon.Seq) bool {
	return to == from || from.Epoch() > to.Epoch() && from.Offset() == 0
}

func (a *auditor) balance(row *carillon.LedgerRow) {
	ended := int64(0)
	for c, n := range row.Terminal {
		if ended += n; n != 0 && !carillon.Class(c).Terminal() {
			a.problem("partition %d: range %s … %s counts %d ended as %s", row.Partition, row.From, row.To, n, carillon.Class(c))
		}
	}
	if row.Planned != ended+row.Open || row.To < row.From || row.Records < 0 || row.Open < 0 {
		a.problem("partition %d: range %s … %s planned %d, but %d ended and %d waited", row.Partition, row.From, row.To, row.Planned, ended, row.Open)
	}
}

// items checks every live item whose record is settled: its deliveries ended,
// or each waits in one place.
func (a *auditor) items(ctx context.Context) (err error) {
	failed := a.v.EachItem(func(u carillon.User, it *carillon.Item) bool {
		err = a.item(u, it)
		return err == nil && ctx.Err() == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

func (a *auditor) item(u carillon.User, it *carillon.Item) error {
	if !it.State.Deleted && (it.Scheduled || it.Next.Content != 0) {
		a.scheduled++
	}
	sp := a.spans[it.Partition]
	if sp == nil || it.Content >= sp.settled {
		a.report.Unsettled++
		return nil
	}
	a.report.Items++
	if it.Content < sp.from {
		a.problem("%s %s: no range of the ledger of partition %d covers it", u, it.Content, it.Partition)
	} else {
		sp.recounted += int64(len(it.Deliveries))
	}
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		class := d.Outcome.Class
		a.report.Deliveries[class.String()]++
		switch {
		case class.Terminal() && d.Hint != carillon.HintNone:
			a.problem("%s %s %s: it ended as %s and is marked as %s", u, it.Content, d.Endpoint, class, d.Hint)
		case class.Terminal():
		case d.Hint == carillon.HintNone:
			a.problem("%s %s %s: it is open and waits nowhere", u, it.Content, d.Endpoint)
		default:
			n, err := a.v.Hints(u, it, broadcastOf(it), d)
			if err != nil {
				return err
			}
			if n != 1 && !it.State.Deleted { // of a deleted one nothing tells where it stood
				a.problem("%s %s %s: it is %s, in %d places", u, it.Content, d.Endpoint, d.Hint, n)
			}
		}
	}
	return nil
}

// broadcastOf is the broadcast that an item is of, or "".
func broadcastOf(it *carillon.Item) string {
	var n carillon.Notification
	if journal.DecodeNotification(it.Body, &n) != nil {
		return ""
	}
	return n.Broadcast
}

// dues and parked check that for each place where a delivery waits there is
// one that does.
func (a *auditor) dues(ctx context.Context) (err error) {
	failed := a.v.EachDue(func(row *carillon.DueRow) bool {
		if row.Ref.Kind == carillon.KindClear { // no delivery: in no plan and no ledger
			a.report.Clears++
			return ctx.Err() == nil
		}
		if row.Ref.Kind == carillon.KindRelease { // likewise, until it is released
			err = a.release(&row.Ref)
			return err == nil && ctx.Err() == nil
		}
		a.report.Due++
		err = a.hint(&row.Ref, row.Partition, func(d *carillon.Delivery) bool { return d.Hint == carillon.HintDue && d.Due == row.At })
		return err == nil && ctx.Err() == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

// release checks that for each release that waits there is what it releases.
func (a *auditor) release(ref *carillon.Ref) error {
	it, err := a.v.Item(ref.User, ref.Created)
	if err != nil {
		return err
	}
	if it != nil && it.Awaits(ref.Content) {
		a.report.Scheduled++
	} else { // taken back, replaced or expired: it goes when it comes up
		a.report.Stale++
	}
	return nil
}

func (a *auditor) parked(ctx context.Context) (err error) {
	failed := a.v.EachParked(func(row *carillon.ParkedRow) bool {
		a.report.Parked++
		err = a.hint(&row.Ref, row.Partition, func(d *carillon.Delivery) bool {
			return d.Hint == carillon.HintParked && row.Lane == carillon.Lane{Platform: d.Platform, Host: row.Ref.User.Host}
		})
		return err == nil && ctx.Err() == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

func (a *auditor) hint(ref *carillon.Ref, partition int32, fits func(*carillon.Delivery) bool) error {
	it, err := a.v.Item(ref.User, ref.Created)
	if err != nil {
		return err
	}
	switch {
	case it == nil:
		a.problem("%s %s %s: it waits, but there is no such item", ref.User, ref.Content, ref.Endpoint)
		return nil
	case it.Content > ref.Content || it.State.Deleted:
		a.report.Stale++
		return nil
	}
	if it.Content == ref.Content && it.Partition == partition {
		for i := range it.Deliveries {
			d := &it.Deliveries[i]
			if d.Endpoint == ref.Endpoint && !d.Outcome.Class.Terminal() && fits(d) {
				return nil
			}
		}
	}
	a.problem("%s %s %s: it waits, but no delivery of the item is open there", ref.User, ref.Content, ref.Endpoint)
	return nil
}
