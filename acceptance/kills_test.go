//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	killsLines   = 250 // a bulk request
	killsUsers   = 2_000
	killsClients = 4
	killsLimit   = 3 * time.Minute
	killsCredits = 512 // a partition; the default of 4,096 would bound nothing here
)

// plan is how often, and during how many notifications, the gateway dies.
type plan struct {
	notifications, settles, replays, blind int
	partitions                             int
	args                                   []string
}

// TestKills kills the gateway at 20 moments during 200,000 bulk notifications:
// four times while it writes outcomes, three times while it goes through what an
// earlier run began, else wherever it happens to be. CARILLON_SEED repeats a run
// as far as the machine does.
func TestKills(t *testing.T) {
	kills(t, plan{notifications: number(t, "CARILLON_KILLS", 200_000), settles: 4, replays: 3, blind: 13, partitions: 4})
}

// TestKillsOnKafka is the same with Apache Kafka as the journal, where each kill
// costs the session of a dead member: 8 kills, and 20 from 200,000 on
// (CARILLON_KILLS_KAFKA=200000 RUN=TestKillsOnKafka make acceptance, 4 minutes).
func TestKillsOnKafka(t *testing.T) {
	broker, _ := startKafka(t)
	p := plan{
		notifications: number(t, "CARILLON_KILLS_KAFKA", 60_000), settles: 2, replays: 2, blind: 4, partitions: 8,
		args: []string{"--brokers", broker},
	}
	if p.notifications >= 200_000 {
		p.settles, p.replays, p.blind = 4, 3, 13
	}
	kills(t, p)
}

// number is a size that the environment can change.
func number(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q is not a number", name, text)
	}
	return n
}

// dice are seeded by the clock, or by CARILLON_SEED; a failed test names the seed.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CARILLON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CARILLON_SEED=%q is not a seed", text)
		}
	}
	t.Logf("seed %d", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with: CARILLON_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// crashing builds a carillon that dies where it is told to.
func crashing(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(caches, "bin", "carillon-crashpoints")
	args := []string{"build", "-tags", "crashpoints", "-buildvcs=false", "-o", bin}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/carillon")...)
	cmd.Dir = ".."
	if r := finish(t, cmd); r.code != 0 {
		t.Fatalf("building carillon with crash points: %s%s", r.stdout, r.stderr)
	}
	return bin
}

// mortal is a gateway that is killed and started again on the same data.
type mortal struct {
	t         *testing.T
	b         *bulks // which sends to it
	bin, data string
	args      []string
	now       *site
}

// up starts the gateway, to die at a crash point unless that is "". It tells
// false when it died there before it was ready.
func (m *mortal) up(point string) bool {
	m.t.Helper()
	m.t.Setenv("CARILLON_CRASH", point)
	args := append([]string{"serve", "--data", m.data, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--json"}, m.args...)
	p := start(m.t, m.data+".log", m.bin, args...)
	m.t.Setenv("CARILLON_CRASH", "")
	m.now = &site{process: p, http: client(m.t), data: m.data}
	var told struct{ URL, Ops, Data string }
	if err := json.NewDecoder(p.out).Decode(&told); err != nil {
		if !p.waits(stopLimit) || point == "" || !p.killed() {
			m.t.Fatalf("%s announced nothing (%v, %v):\n%s", p.name, err, p.err, p.tail())
		}
		return false
	}
	m.now.url, m.now.ops = told.URL, told.Ops
	m.b.url.Store(&told.URL)
	return true
}

// killed tells whether the process ended by SIGKILL.
func (p *process) killed() bool { return p.err != nil && strings.Contains(p.err.Error(), "killed") }

// killsLine is a bulk line of the load.
func killsLine(i int) string {
	return fmt.Sprintf(`{"targetHostName":%q,"userId":%q,"idempotencyKey":"kill-%d","payload":{"visualContent":{"title":"number %[3]d"}}}`,
		host, killsUser(i), i)
}

func killsUser(i int) string { return fmt.Sprintf("dev.kills-%d", i%killsUsers) }

// bulks sends n notifications in bulk requests; each is repeated as a whole until
// all its lines are accepted, as a sender does that keeps its keys.
type bulks struct {
	*flood

	lines, again atomic.Int64 // accepted, repeated requests
}

func (b *bulks) send(n int) {
	b.each(n/killsLines, func(request int) {
		var body bytes.Buffer
		for i := request * killsLines; i < (request+1)*killsLines; i++ {
			body.WriteString(killsLine(i))
			body.WriteByte('\n')
		}
		pause := time.NewTicker(20 * time.Millisecond)
		defer pause.Stop()
		for !b.giveUp.Load() {
			if b.once(request*killsLines, body.Bytes()) {
				b.lines.Add(killsLines)
				return
			}
			b.again.Add(1)
			<-pause.C
		}
	})
}

// once tells whether every line was accepted. What was is remembered, also when
// another line was not.
func (b *bulks) once(first int, body []byte) bool {
	status, answer := b.ask("POST", "/api/v1/notifications", body, "Content-Type", "application/x-ndjson")
	switch status {
	case 200:
	case 0, 429, 503:
		return false
	default:
		b.t.Errorf("a bulk request: %d %s", status, answer)
		b.giveUp.Store(true)
		return false
	}
	all, i := true, first
	for text := range bytes.Lines(answer) {
		var l struct {
			ID             string
			Error, Summary json.RawMessage
		}
		if err := json.Unmarshal(text, &l); err != nil {
			b.t.Errorf("line %q: %v", text, err)
			return false
		}
		switch {
		case l.Summary != nil:
		case l.ID == "":
			all = false
			b.fault.Store(string(l.Error))
			i++
		case b.ids[i] != "" && b.ids[i] != l.ID:
			b.t.Errorf("key %d got the id %s, and %s when it was repeated", i, b.ids[i], l.ID)
			i++
		default:
			b.ids[i] = l.ID
			i++
		}
	}
	return all && i == first+killsLines
}

// register gives each user a device of one of the platforms.
func (b *bulks) register(users int, user func(int) string) {
	b.t.Helper()
	b.each(users, func(i int) {
		platform := []string{"windows", "ios", "android"}[i%3]
		body, _ := json.Marshal(map[string]string{"host": host, "platform": platform, "address": address(platform, user(i))})
		pause := time.NewTicker(100 * time.Millisecond)
		defer pause.Stop()
		status, answer := b.ask("PUT", "/api/v1/users/"+user(i)+"/endpoints/one", body)
		for try := 1; status == 503 && try < 100; try++ { // a busy machine: ask again
			<-pause.C
			status, answer = b.ask("PUT", "/api/v1/users/"+user(i)+"/endpoints/one", body)
		}
		if status != 200 {
			b.t.Errorf("registering: %d %s", status, answer)
			b.giveUp.Store(true)
		}
	})
	if b.t.Failed() {
		b.t.FailNow()
	}
}

// deaths is the order of the kills, the first blind; "" is a blind one. Before a
// replay something must be there to be replayed: the kill before it is between
// the rows and the position of a settle. The counts are such that a point is passed
// within the load that is left for it, on a fast machine too, whose settles are large
// and few.
func deaths(p plan, random *rand.Rand) []string {
	var all [][]string
	for i := range max(p.settles, p.replays) {
		group := []string{fmt.Sprintf("%s:%d", []string{crashSettled, crashSettle}[i%2], 1+random.IntN(10))}
		if i < p.replays {
			group = []string{fmt.Sprintf("%s:%d", crashSettled, 3+random.IntN(8)), fmt.Sprintf("%s:%d", crashReplay, 1+random.IntN(3))}
		}
		all = append(all, group)
	}
	for range p.blind - 1 {
		all = append(all, []string{""})
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return append([]string{""}, slices.Concat(all...)...)
}

// The crash points of the dispatcher.
const (
	crashSettle  = "settle"
	crashSettled = "settled"
	crashReplay  = "replay"
)

func kills(t *testing.T, p plan) {
	random, dir := dice(t), workDir(t)
	box := startSandbox(t, dir)
	config := box.config(t, dir)
	extend(t, config, fmt.Sprintf("dispatch: {credits: %d}\njournal: {partitions: %d}\n", killsCredits, p.partitions))
	b := &bulks{flood: &flood{t: t, http: client(t), ids: make([]string, p.notifications)}}
	b.http.Timeout = 10 * time.Second
	m := &mortal{t: t, b: b, bin: crashing(t), data: filepath.Join(dir, "data"), args: append([]string{"--config", config}, p.args...)}
	m.up("")
	m.now.ready(t)
	b.token = strings.TrimSpace(carillon(t, "token", "--data", m.data, "--app", host))
	b.register(killsUsers, killsUser)

	sent := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(sent)
		b.send(p.notifications)
	}()
	t.Cleanup(func() { b.giveUp.Store(true); <-sent })
	died := m.die(p, random)
	select {
	case <-sent:
	case <-time.After(killsLimit):
		t.Fatalf("only %d of %d are accepted after %v; last %v\n%s", b.lines.Load(), p.notifications, killsLimit, b.fault.Load(), m.now.tail())
	}
	t.Logf("%d accepted in %v, killed %v; %d requests were repeated", p.notifications, time.Since(begin).Round(time.Millisecond), died, b.again.Load())
	if died[crashSettle]+died[crashSettled] < min(3, p.settles) || died[crashReplay] < 2 {
		t.Errorf("too few kills inside a settle or a replay: %v", died)
	}
	dead := 0
	for _, n := range died {
		dead += n
	}
	b.rang(box, begin, int64(dead*p.partitions*killsCredits))
	closes(t, m.now, int64(p.notifications))
	if told := m.now.told(t, b.token); len(told) != 1 || told["accepted"] != int64(p.notifications) {
		t.Errorf("the stream of outcomes tells of %v", told)
	}
	m.now.stop(t)
	carillon(t, "audit", "--data", m.data)
}

// audited is what `carillon audit --json` prints.
type audited struct {
	Closed                                       bool
	Items, Unsettled, Due, Parked, Stale, Clears int64
	Deliveries                                   map[string]int64
	Problems                                     []string
}

// audit asks a running gateway.
func (s *site) audit(t *testing.T) (a audited) {
	t.Helper()
	r := run(t, startLimit, binary, "audit", "--ops", strings.TrimPrefix(s.ops, "http://"), "--json")
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil {
		t.Fatalf("carillon audit: exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	if (r.code == 0) != a.Closed {
		t.Errorf("carillon audit: exit code %d, closed %v", r.code, a.Closed)
	}
	return a
}

// closes waits until every delivery has ended; then the audit must close, and
// find just as many accepted deliveries as there have to be, each once.
func closes(t *testing.T, s *site, deliveries int64) {
	t.Helper()
	var a audited
	until(t, killsLimit, "everything is settled", func() bool {
		a = s.audit(t)
		open := a.Unsettled + a.Due + a.Parked
		return open == 0 || !a.Closed && a.Unsettled == 0
	})
	t.Logf("audit: %d items, %v", a.Items, a.Deliveries)
	if !a.Closed || a.Stale > 0 {
		t.Errorf("the audit does not close: %+v", a)
	}
	if len(a.Deliveries) != 1 || a.Deliveries["accepted"] != deliveries {
		t.Errorf("%v deliveries ended, want %d accepted and no other", a.Deliveries, deliveries)
	}
}

// extend adds to a configuration file.
func extend(t *testing.T, file, text string) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(old, text...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// die lets the gateway, which lives, die as planned while notifications are
// sent; it lives again at the end.
func (m *mortal) die(p plan, random *rand.Rand) map[string]int {
	died, plan := map[string]int{}, deaths(p, random)
	for i, point := range plan {
		if i > 0 {
			m.up(point)
		}
		name, _, _ := strings.Cut(point, ":")
		if point != "" && m.now.waits(15*time.Second) {
			if !m.now.killed() {
				m.t.Fatalf("the gateway ended by itself: %v\n%s", m.now.err, m.now.tail())
			}
			died[name]++
			continue
		}
		if point == "" {
			share := int64(p.notifications / len(plan))
			after := share*int64(i) + 1 + random.Int64N(share*3/4)
			until(m.t, killsLimit, fmt.Sprintf("%d notifications are accepted", after), func() bool { return m.b.lines.Load() >= after })
			<-time.After(time.Duration(random.IntN(60)) * time.Millisecond)
		}
		m.now.kill()
		died["blind"]++
	}
	m.up("")
	m.now.ready(m.t)
	return died
}
