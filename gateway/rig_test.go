package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"carillon"
	"carillon/gateway"
	"carillon/internal/apitest"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
	"carillon/journal"
)

const (
	host       = "app.example.com"
	client     = "client-1"
	partitions = 4
)

// rig is a gateway behind a real server, with a journal and a store in memory.
type rig struct {
	t       testing.TB
	clock   *carillon.Clock
	dev     *auth.DevIssuer
	subs    *auth.Subscriptions
	ids     *carillon.IDKey
	journal *fakeJournal
	store   *fakeStore
	url     string
	http    *http.Client
}

func newRig(t *testing.T, cfg gateway.Config) *rig {
	t.Helper()
	return newRigOn(t, cfg, nil)
}

// newRigOn is newRig with a journal; nil is the one in memory.
func newRigOn(t testing.TB, cfg gateway.Config, j gateway.Journal, more ...func(*httpapi.Router)) *rig {
	t.Helper()
	return newRigWith(t, cfg, func(d *gateway.Deps) {
		if j != nil {
			d.Journal = j
		}
	}, more...)
}

// newRigWith is newRig with other partners.
func newRigWith(t testing.TB, cfg gateway.Config, change func(*gateway.Deps), more ...func(*httpapi.Router)) *rig {
	t.Helper()
	return newRigBehind(t, cfg, httpapi.Config{}, change, more...)
}

// newRigBehind is newRigWith behind another HTTP server; its address is chosen here.
func newRigBehind(t testing.TB, cfg gateway.Config, serving httpapi.Config, change func(*gateway.Deps), more ...func(*httpapi.Router)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &carillon.Clock{}, ids: &carillon.IDKey{7}, http: &http.Client{}}
	if _, ok := t.(*testing.T); ok { // benchmarks measure the doors alone
		r.http.Transport = apitest.Transport(t, nil)
	}
	master := auth.NewMaster([32]byte{1, 2, 3})
	dev, err := auth.NewDevIssuer(master, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	r.dev, r.subs = dev, auth.NewSubscriptions(master)
	verifier, err := auth.NewVerifier(auth.Config{}, r.clock, dev)
	if err != nil {
		t.Fatal(err)
	}
	apps, err := carillon.NewApps([]carillon.App{
		{Host: host, Clients: []string{client, "client-2"}, Identities: []carillon.Identity{
			{Platform: carillon.IOS, AppID: "com.example.app"},
			{Platform: carillon.Android, AppID: "com.example.one"},
			{Platform: carillon.Android, AppID: "com.example.two"},
		}},
		{Host: "other.example.com", Clients: []string{"client-2"}},
		{Host: "foreign.example.com", Clients: []string{"client-3"}},
		{Host: "limited.example.com", Clients: []string{"client-4"}, Quota: carillon.Quota{PerSecond: 10}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.store = newFakeStore()
	r.journal = &fakeJournal{store: r.store}
	log := slog.New(slog.DiscardHandler)
	applied := httpapi.NewApplied(r.store.Progress, r.clock)
	deps := gateway.Deps{
		Apps: func() *carillon.Apps { return apps }, Journal: r.journal, Store: r.store, Auth: verifier,
		Subscriptions: r.subs, IDs: r.ids, Partitions: partitions, Applied: applied, Clock: r.clock, Log: log,
	}
	change(&deps)
	g := gateway.New(cfg, deps)
	serving.Listen = "127.0.0.1:0"
	server := httpapi.New(serving, log, r.clock)
	g.Register(server.Router())
	for _, register := range more {
		register(server.Router())
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	r.url = server.URL()
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = server.Run(ctx) })
	run.Go(func() { _ = applied.Run(ctx) })
	run.Go(func() { _ = verifier.Run(ctx) })
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		cancel()
		run.Wait()
	})
	return r
}

func (r *rig) app() string { return r.token(auth.DevClaims{Client: client}) }

func (r *rig) alice() string { return r.token(auth.DevClaims{User: "alice", Client: client}) }

func (r *rig) token(c auth.DevClaims) string {
	r.t.Helper()
	tok, err := r.dev.Issue(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return tok
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) object() map[string]any {
	var m map[string]any
	_ = json.Unmarshal(a.body, &m)
	return m
}

func (a *answer) str(name string) string {
	s, _ := a.object()[name].(string)
	return s
}

// fault is code, target and message of an error answer.
func (a *answer) fault() (code, target, message string) {
	var e struct {
		Error struct{ Code, Target, Message string }
	}
	_ = json.Unmarshal(a.body, &e)
	return e.Error.Code, e.Error.Target, e.Error.Message
}

// call makes a request; headers are name, value pairs.
func (r *rig) call(method, path, token, body string, headers ...string) *answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.http.Do(req)
	if err != nil { // no Fatal: some calls have goroutines of their own, whose answer is waited for
		r.t.Errorf("%s %s: %v", method, path, err)
		return &answer{header: http.Header{}}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Errorf("%s %s: %v", method, path, err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: b}
}

func (r *rig) want(a *answer, status int) *answer {
	r.t.Helper()
	if a.status != status {
		r.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (r *rig) refused(a *answer, status int, target, says string) {
	r.t.Helper()
	code, gotTarget, message := a.fault()
	if a.status != status || gotTarget != target || !strings.Contains(message, says) || code == "" {
		r.t.Errorf("status %d target %q message %q, want %d %q %q", a.status, gotTarget, message, status, target, says)
	}
}

// fakeJournal assigns positions in memory. apply makes the store know a record
// at once, as a very fast shard would.
type fakeJournal struct {
	store *fakeStore

	mu      sync.Mutex
	next    [partitions]int64
	records []appended
	fail    error
	lag     bool          // the store learns nothing
	forget  bool          // so does the journal
	hold    chan struct{} // when set, Append waits for it
	held    chan struct{} // and says here that it does
	each    func(e *journal.Entry)
}

type appended struct {
	key string
	rec journal.Record
	at  carillon.Position
}

func (j *fakeJournal) Append(ctx context.Context, entries []journal.Entry) error {
	j.mu.Lock()
	hold, held := j.hold, j.held
	j.mu.Unlock()
	if hold != nil {
		select {
		case held <- struct{}{}:
		case <-hold:
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		for i := range entries {
			entries[i].Err = j.fail
		}
		return j.fail
	}
	var first error
	for i := range entries {
		e := &entries[i]
		e.Position, e.Err = carillon.Position{}, nil
		if j.each != nil {
			if j.each(e); e.Err != nil {
				if first == nil {
					first = e.Err
				}
				continue
			}
		}
		p := journal.Partition(e.Key, partitions)
		e.Position = carillon.Position{Partition: p, Seq: carillon.MakeSeq(1, j.next[p])}
		j.next[p]++
		if j.forget {
			continue
		}
		a := appended{key: string(e.Key), at: e.Position}
		if err := a.rec.Decode(bytes.Clone(e.Value)); err != nil {
			return err
		}
		j.records = append(j.records, a)
		if !j.lag {
			j.store.apply(false, &a)
		}
	}
	return first
}

func (j *fakeJournal) set(f func(*fakeJournal)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j)
}

func (j *fakeJournal) all() []appended {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]appended(nil), j.records...)
}

func (j *fakeJournal) last(t *testing.T) appended {
	t.Helper()
	all := j.all()
	if len(all) == 0 {
		t.Fatal("nothing was appended")
	}
	return all[len(all)-1]
}

// fakeStore is a store in maps.
type fakeStore struct {
	mu        sync.Mutex
	endpoints map[string]map[string]carillon.Endpoint
	idems     map[carillon.RequestID]carillon.Idem
	items     map[carillon.Seq]*carillon.Item
	applied   [partitions]carillon.Seq
	fail      error
}

func newFakeStore() *fakeStore {
	return &fakeStore{endpoints: map[string]map[string]carillon.Endpoint{}, idems: map[carillon.RequestID]carillon.Idem{}, items: map[carillon.Seq]*carillon.Item{}}
}

// apply applies records in one batch, as a shard would: nobody reads between
// two of them. When all has expired by then, no item is left.
func (s *fakeStore) apply(expired bool, batch ...*appended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range batch {
		s.one(a)
	}
	if expired {
		clear(s.items)
	}
}

func (s *fakeStore) one(a *appended) {
	user := s.endpoints[a.key]
	if user == nil {
		user = map[string]carillon.Endpoint{}
		s.endpoints[a.key] = user
	}
	switch a.rec.Kind {
	case journal.KindEndpoint:
		var cur *carillon.Endpoint
		if e, ok := user[a.rec.Endpoint.ID]; ok {
			cur = &e
		}
		user[a.rec.Endpoint.ID] = carillon.Register(cur, a.rec.Endpoint, a.at.Seq, a.rec.At)
	case journal.KindLeave:
		delete(user, a.rec.Leave.Installation)
	case journal.KindChange, journal.KindDelete:
		s.change(a)
	case journal.KindNotification:
		s.items[a.at.Seq] = &carillon.Item{
			Created: a.at.Seq, Content: a.at.Seq, Partition: a.at.Partition, ID: a.rec.Notification.ID, Accepted: a.rec.At,
			Expires: a.rec.Notification.Expires, Body: a.rec.Body,
		}
		if _, ok := s.idems[a.rec.RID]; a.rec.HasRID && !ok {
			s.idems[a.rec.RID] = carillon.Idem{
				RID: a.rec.RID, BodyHash: a.rec.BodyHash, Seq: a.at.Seq, ID: a.rec.Notification.ID,
				Expires: a.rec.At + carillon.IdempotencyFor.Milliseconds(),
			}
		}
	}
	s.applied[a.at.Partition] = a.at.Seq + 1
}

// change applies a change or deletion of one item, as a shard would.
func (s *fakeStore) change(a *appended) {
	id := a.rec.Change.ID
	if a.rec.Kind == journal.KindDelete {
		id = a.rec.Delete.ID
	}
	pos, ok := (&carillon.IDKey{7}).Position(carillon.HashUserKey([]byte(a.key)), id)
	if !ok {
		pos.Seq, ok = s.newest(id)
	}
	it := s.items[pos.Seq]
	idem := carillon.Idem{RID: a.rec.RID, Seq: a.at.Seq}
	switch {
	case !ok || it == nil || it.State.Deleted:
		idem.Refused = carillon.CodeNotFound
	case a.rec.IfSeq != 0 && a.rec.IfSeq != max(it.Content, it.State.Seq()):
		idem.Refused = carillon.CodePrecondition
	case a.rec.Kind == journal.KindDelete:
		it.State.Delete(a.at.Seq, a.rec.At)
	default:
		it.State.Apply(a.rec.Change.Change, a.at.Seq, a.rec.At)
	}
	if a.rec.HasRID {
		s.idems[a.rec.RID] = idem
	}
}

func (s *fakeStore) Item(_ carillon.User, created carillon.Seq) (*carillon.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[created]
	if it == nil {
		return nil, s.fail
	}
	own := *it
	return &own, s.fail
}

func (s *fakeStore) Find(_ carillon.User, id carillon.ID) (created carillon.Seq, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	created, ok = s.newest(id)
	return created, ok, s.fail
}

func (s *fakeStore) newest(id carillon.ID) (created carillon.Seq, ok bool) {
	for seq, it := range s.items {
		if it.ID == id {
			created, ok = max(created, seq), true
		}
	}
	return created, ok
}

func (s *fakeStore) Endpoints(dst []carillon.Endpoint, u carillon.User) ([]carillon.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range maps.Values(s.endpoints[u.Key()]) {
		dst = append(dst, e)
	}
	return dst, s.fail
}

func (s *fakeStore) Idem(_ carillon.User, rid carillon.RequestID) (carillon.Idem, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.idems[rid]
	return i, ok, s.fail
}

func (s *fakeStore) Progress(p int32) (carillon.Progress, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return carillon.Progress{Partition: p, Applied: s.applied[p]}, nil
}

// await waits until an append is held. An answer before that ends the test.
func (r *rig) await(held <-chan struct{}, first chan *answer) {
	r.t.Helper()
	select {
	case <-held:
	case a := <-first:
		r.t.Fatalf("answered before its append: %d %s", a.status, a.body)
	}
}
