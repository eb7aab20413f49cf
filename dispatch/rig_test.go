package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "app.example.com"

// rig is a dispatcher in a synctest bubble, fed by hand.
type rig struct {
	t     *testing.T
	d     *Dispatcher
	k     *keeper
	store *memory
	v     *vendor
	clock *carillon.Clock
	next  carillon.Seq
	stop  func()

	journal leavesJournal
}

// leavesJournal keeps what applying appends: claims of addresses apart.
type leavesJournal struct {
	mu      sync.Mutex
	entries []journal.Entry
	claims  []journal.Entry
	appends int
}

// calls is how often something was appended.
func (j *leavesJournal) calls() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.appends
}

func (j *leavesJournal) Append(_ context.Context, entries []journal.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.appends++
	for _, e := range entries {
		if _, _, ok := carillon.SplitUserKey(e.Key); ok {
			j.entries = append(j.entries, e)
		} else {
			j.claims = append(j.claims, e)
		}
	}
	return nil
}

// idleSource is a journal whose partitions the test plays itself.
type idleSource struct{}

func (idleSource) Run(ctx context.Context, _ func(context.Context, *journal.Claim) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// recalling is one whose keeper recalls what is due and parked, as consuming it
// would: not before the dispatcher opens lanes.
type recalling struct{ k *keeper }

func (r recalling) Run(ctx context.Context, _ func(context.Context, *journal.Claim) error) error {
	r.k.recallDue(ctx)
	return ctx.Err()
}

func newRig(t *testing.T, cfg Config, store *memory) *rig {
	t.Helper()
	first := carillon.MakeSeq(1, 0)
	return newRigAt(t, cfg, store, first, first)
}

// newRigAt goes on at from; an earlier run may have seen what is before end.
func newRigAt(t *testing.T, cfg Config, store *memory, from, end carillon.Seq) *rig {
	t.Helper()
	def(&cfg.CacheBytes, 1<<20) // what is made at each start takes its time
	clock := &carillon.Clock{}
	v := &vendor{to: map[carillon.Lane]carillon.Receiver{}, room: 1000, now: clock.UnixMilli}
	r := &rig{t: t, store: store, v: v, clock: clock, next: from}
	store.now = clock.UnixMilli
	d, err := New(cfg, Deps{Store: store, Vendors: v, Journal: &r.journal, IDs: &carillon.IDKey{1}, Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.d = d
	r.k = newKeeper(d, 0, 1)
	r.k.from, r.k.applied, r.k.settled, r.k.replayEnd = from, from, from, end
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	if err := r.k.loadHints(); err != nil {
		t.Fatal(err)
	}
	d.keepers[0] = r.k
	go func() {
		done <- d.Run(ctx, recalling{r.k})
	}()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
	return r
}

// feed plays records of users as one fetched batch and waits until nothing
// moves any more; the first one's seq is returned.
func (r *rig) feed(recs ...fed) carillon.Seq {
	for i := range recs {
		recs[i].rec.At = r.clock.UnixMilli()
	}
	return r.feedAt(r.clock.UnixMilli(), recs...)
}

// feedAt plays records that bear their time already.
func (r *rig) feedAt(at int64, recs ...fed) carillon.Seq {
	first := r.next
	b := journal.Batch{}
	for _, f := range recs {
		key := f.key
		if key == nil {
			key = f.user.AppendKey(nil)
		}
		b.Records = append(b.Records, journal.Fetched{Seq: r.next, Key: key, Value: f.rec.Append(nil), Time: at})
		r.next++
	}
	b.Next = r.next
	r.k.deal(b)
	synctest.Wait()
	return first
}

// positions are the two as offsets from the epoch's start.
func (r *rig) positions() (applied, settled int64) {
	r.k.advance()
	p := r.k.progress().Positions[0]
	return p.Applied.Offset(), p.Settled.Offset()
}

type fed struct {
	user carillon.User
	rec  *journal.Record
	key  []byte // when it is not the user's
}

func user(id string) carillon.User { return carillon.User{Host: host, ID: id} }

func (r *rig) joins(u carillon.User, id string, p carillon.Platform) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindEndpoint, Endpoint: carillon.Endpoint{
		ID: id, Platform: p, Address: "addr-" + id, AppID: "com.example", Expires: r.clock.UnixMilli() + carillon.EndpointLife.Milliseconds(),
	}}}
}

func leaves(u carillon.User, id string) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindLeave, Leave: journal.Leave{Installation: id}}}
}

func (r *rig) sends(u carillon.User, title string) fed {
	return fed{user: u, rec: &journal.Record{Kind: journal.KindNotification, Notification: carillon.Notification{
		HasVisual: true, Title: title, TTL: -1, Badge: -1,
		Accepted: r.clock.UnixMilli(), Expires: r.clock.UnixMilli() + time.Hour.Milliseconds(),
	}}}
}

// keyed is a notification under a sender's key, in a request of its own.
func (r *rig) keyed(u carillon.User, title, key string, rid byte) fed {
	f := r.sends(u, title)
	f.rec.HasRID, f.rec.RID = true, carillon.RequestID{rid}
	f.rec.Notification.AppNotificationID = key
	f.rec.Notification.ID = r.d.deps.IDs.Derived(u, 'n', key)
	return f
}
