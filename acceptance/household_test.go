//go:build acceptance

package acceptance_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// act is one step of a household's script: what is done, and four numbers that
// pick who does it, with what and how. They count modulo what there is, so that
// a script stays one when a line is taken out.
type act struct {
	do string
	n  [4]int
}

func (a act) String() string {
	return fmt.Sprintf("%s %d %d %d %d", a.do, a.n[0], a.n[1], a.n[2], a.n[3])
}

// script is what happens in one household, in order.
type script []act

func (s script) String() string {
	lines := make([]string, len(s))
	for i, a := range s {
		lines[i] = a.String()
	}
	return strings.Join(lines, "; ")
}

// parseScript reads what String printed.
func parseScript(text string) (s script, err error) {
	for line := range strings.SplitSeq(strings.TrimSpace(text), ";") {
		words := strings.Fields(line)
		if len(words) != 5 {
			return nil, fmt.Errorf("%q is no step and four numbers", line)
		}
		a := act{do: words[0]}
		for i := range a.n {
			if a.n[i], err = strconv.Atoi(words[1+i]); err != nil || a.n[i] < 0 {
				return nil, fmt.Errorf("%q: %q is no number", line, words[1+i])
			}
		}
		s = append(s, a)
	}
	return s, nil
}

// doings are the kinds of steps, the usual ones more than once. "crash" is kill
// -9 and "restart" an end in order; both befall everybody.
func doings() []string {
	return []string{
		"send", "send", "send", "keyed", "keyed", "local",
		"change", "change", "change", "change", "many", "floor", "delete", "ack",
		"join", "join", "leave", "fault", "fault", "fault", "fault", "sleep", "wake", "wait", "crash", "crash", "crash", "restart",
	}
}

// scripts draws a script. A number drawn is as likely as any other: rapid's own
// way of preferring small ones would let most steps meet the same few things.
func scripts() *rapid.Generator[script] {
	number := rapid.Map(rapid.Uint64(), func(x uint64) int { return int(scramble(x) % 100) })
	step := rapid.Custom(func(t *rapid.T) act {
		kinds := doings()
		a := act{do: kinds[scramble(rapid.Uint64().Draw(t, "do"))%uint64(len(kinds))]}
		for i := range a.n {
			a.n[i] = number.Draw(t, "n")
		}
		return a
	})
	return rapid.Custom(func(t *rapid.T) script {
		s := make(script, 5+number.Draw(t, "steps")%30)
		for i := range s {
			s[i] = step.Draw(t, "step")
		}
		return s
	})
}

// scramble is the finalizer of SplitMix64.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// letter is one notification as its user must see it.
type letter struct {
	id, key, title string
	at             int // the step that wrote the present content
	position       string
	local          bool // stateSync none
	read, deleted  bool
	action         string
	touched        bool      // the present content was ever handled: it may have been kept from a device then
	since          time.Time // handled since, at the earliest
}

// handled tells whether its user is done with it.
func (l *letter) handled() bool {
	return l.deleted || l.read || l.action == "Dismissed" || l.action == "Activated"
}

// cleared tells whether no device may show it.
func (l *letter) cleared() bool { return l.handled() && (!l.local || l.deleted) }

// bell is an endpoint: an installation of a person at an address.
type bell struct {
	installation, platform, address, subscription string

	from    int            // the step since which it has this address
	born    int            // the step that registered this incarnation
	own     map[string]int // handled there, up to that content
	fetched time.Time      // when its app read the feed last
}

// member is one person of a household.
type member struct {
	id       string
	letters  []*letter
	contents []content        // all that were ever sent
	ghosts   map[string]bool  // titles of which nobody knows whether they were accepted
	bells    map[string]*bell // by installation
	position string           // of the last write
}

// content is what one step sent.
type content struct {
	title string
	at    int
}

// find is the newest letter of that id; nil when there is none.
func (m *member) find(id string) *letter {
	for _, l := range slices.Backward(m.letters) {
		if l.id == id {
			return l
		}
	}
	return nil
}

// tenure is when an address rang for a person's endpoint: for contents of steps
// from born to until.
type tenure struct {
	who, installation, address string
	born, until                int
}

// household is two people, each with three devices of his own, and one phone that
// changes hands between them.
type household struct {
	t       *town
	name    string
	script  script
	people  [2]*member
	step    int
	tenures []*tenure
	asleep  map[string]bool // by address: such a device cannot call
	fault   string          // why the script could not be played
}

const forGood = 1 << 30

func newHousehold(t *town, name string, s script) *household {
	h := &household{t: t, name: name, script: s, asleep: map[string]bool{}}
	for i, who := range []string{"a", "b"} {
		h.people[i] = &member{id: "dev." + name + "-" + who, bells: map[string]*bell{}, ghosts: map[string]bool{}}
	}
	return h
}

// play does what the script says.
func (h *household) play() {
	begin := script{
		{"join", [4]int{0, 0, 1, 0}},
		{"join", [4]int{0, 1, 1, 0}},
		{"join", [4]int{0, 2, 1, 0}},
		{"join", [4]int{1, 1, 1, 0}},
		{"join", [4]int{0, 3, 1, 0}},
	}
	for _, a := range slices.Concat(begin, h.script) {
		h.step++
		h.do(a)
		if h.fault != "" || h.t.over() {
			return
		}
	}
	for address := range h.asleep { // awake or not
		h.t.device(address, map[string]any{"offline": false})
	}
}

func (h *household) fail(format string, args ...any) {
	if h.fault == "" {
		h.fault = fmt.Sprintf("step %d: ", h.step) + fmt.Sprintf(format, args...)
	}
}

func (h *household) do(a act) {
	m := h.people[a.n[0]%2]
	switch a.do {
	case "send":
		h.send(m, "", false)
	case "local":
		h.send(m, "", true)
	case "keyed":
		h.send(m, []string{"k", "l"}[a.n[1]%2], false)
	case "change":
		if l := m.letter(a.n[1]); l != nil && !l.deleted {
			h.change(m, l, a)
		}
	case "many":
		h.many(m, a)
	case "floor":
		h.floor(m, a)
	case "delete":
		if l := m.letter(a.n[1]); l != nil && !l.deleted {
			h.remove(m, l, a)
		}
	case "ack":
		h.ack(m, a)
	case "join":
		h.join(m, a)
	case "leave":
		h.leave(m, a)
	case "fault":
		h.trouble(m, a)
	case "sleep", "wake":
		if b := m.bell(a.n[1]); b != nil {
			h.asleep[b.address] = a.do == "sleep"
			h.t.device(b.address, map[string]any{"offline": a.do == "sleep"})
		}
	case "wait":
		h.t.rest(time.Duration(a.n[1]*a.n[2]) * time.Millisecond / 5)
	case "crash", "restart":
		h.t.dies(a.do)
	default:
		h.fail("no step is called %q", a.do)
	}
}

// letter picks one of what the person got, the newest twice as often.
func (m *member) letter(n int) *letter {
	if len(m.letters) == 0 {
		return nil
	}
	l := m.letters[len(m.letters)-1]
	if n%2 == 0 {
		l = m.letters[n/2%len(m.letters)]
	}
	return m.find(l.id)
}

// bell picks one of his endpoints.
func (m *member) bell(n int) *bell {
	var ids []string
	for id := range m.bells {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	return m.bells[ids[n%len(ids)]]
}

// acting picks the endpoint on which something happens, one time in five none.
func (h *household) acting(m *member, n int) (b *bell, header []string) {
	if n%5 == 4 {
		return nil, nil
	}
	if b = m.bell(n); b == nil || h.asleep[b.address] {
		return nil, nil
	}
	return b, []string{"X-UNS-ID", b.subscription}
}

// awaits is the header that lets a call wait until the letter is applied. One
// without a key is found without.
func (m *member) awaits(l *letter) []string {
	if l.key == "" {
		return nil
	}
	return []string{positionHeader, m.position}
}

// handledOn lets the acting device's app take off what its user handles there.
func (l *letter) handledOn(b *bell, when time.Time, was bool) {
	if !l.handled() {
		return
	}
	l.touched = true
	if !was {
		l.since = when
	}
	if b != nil {
		b.own[l.id] = max(b.own[l.id], l.at)
	}
}

func (h *household) send(m *member, key string, local bool) {
	title, path := fmt.Sprintf("<%s %d>", h.name, h.step), "/beta/users/"+m.id+"/notifications"
	var r *reply
	if key != "" {
		n := with(visual(title, ""), map[string]any{"appNotificationId": key})
		r = h.t.ask(h, "POST", path, n, "Idempotency-Key", fmt.Sprintf("%s-%d", h.name, h.step))
	}
	for try := 1; r == nil || (r.status == 0 || r.status == 503) && !h.t.over(); try++ {
		if r != nil { // without a key it must not be repeated: it may be there
			m.ghosts[title] = true
			title = fmt.Sprintf("<%s %d.%d>", h.name, h.step, try)
			h.t.rest(20 * time.Millisecond)
		}
		n := visual(title, "")
		if local {
			n["stateSync"] = "none"
		}
		r = h.t.try("POST", path, n)
	}
	if r.status != 201 {
		h.fail("sending: %d %s", r.status, r.text)
		return
	}
	m.position = r.header.Get(positionHeader)
	m.contents = append(m.contents, content{title, h.step})
	l := &letter{id: r.str("id")}
	if old := m.find(l.id); old != nil && !old.deleted {
		l = old
	} else {
		m.letters = append(m.letters, l)
	}
	*l = letter{id: l.id, key: key, title: title, at: h.step, position: m.position, local: local, action: "NoInteraction"}
}

// mark is what a change says of the state.
func mark(n int) (body map[string]any, apply func(l *letter)) {
	action := []string{"NoInteraction", "Activated", "Dismissed", "Snoozed"}[n/4%4]
	switch n % 4 {
	case 0:
		return map[string]any{"readState": true}, func(l *letter) { l.read = true }
	case 1:
		return map[string]any{"readState": n%8 == 1, "userActionState": action}, func(l *letter) { l.read, l.action = n%8 == 1, action }
	case 2:
		return map[string]any{"userActionState": "Dismissed"}, func(l *letter) { l.action = "Dismissed" }
	default:
		return map[string]any{"userActionState": action}, func(l *letter) { l.action = action }
	}
}

func (h *household) change(m *member, l *letter, a act) {
	body, apply := mark(a.n[3])
	at, header := h.acting(m, a.n[2])
	header = append(header, m.awaits(l)...)
	begin := time.Now()
	r := h.t.ask(h, "PATCH", "/beta/users/"+m.id+"/notifications/"+l.id, body, header...)
	if r.status != 200 && r.status != 202 {
		h.fail("changing: %d %s", r.status, r.text)
		return
	}
	m.position = r.header.Get(positionHeader)
	was := l.handled()
	apply(l)
	l.handledOn(at, begin, was)
}

func (h *household) remove(m *member, l *letter, a act) {
	at, header := h.acting(m, a.n[2])
	header = append(header, m.awaits(l)...)
	begin := time.Now()
	r := h.t.ask(h, "DELETE", "/beta/users/"+m.id+"/notifications/"+l.id, nil, header...)
	if r.status != 204 && r.status != 202 && r.status != 404 { // 404: the answer of the first try was lost
		h.fail("deleting: %d %s", r.status, r.text)
		return
	}
	if p := r.header.Get(positionHeader); p != "" {
		m.position = p
	}
	was := l.handled()
	l.deleted = true
	l.handledOn(at, begin, was)
}

// many changes up to five at once.
func (h *household) many(m *member, a act) {
	ids := []string{}
	var those []*letter
	for i := range 5 {
		if l := m.letter(2 * (a.n[1] + i)); l != nil && !l.deleted && !slices.Contains(ids, l.id) {
			ids, those = append(ids, l.id), append(those, l)
		}
	}
	if len(ids) > 0 {
		h.state(m, a, map[string]any{"ids": ids}, those)
	}
}

// floor changes everything up to a letter's content.
func (h *household) floor(m *member, a act) {
	l := m.letter(a.n[1])
	if l == nil {
		return
	}
	var those []*letter
	for _, o := range m.letters {
		if o.at <= l.at && !o.deleted && m.find(o.id) == o {
			those = append(those, o)
		}
	}
	h.state(m, a, map[string]any{"before": l.position}, those)
}

func (h *household) state(m *member, a act, body map[string]any, those []*letter) {
	more, apply := mark(a.n[3])
	at, header := h.acting(m, a.n[2])
	begin := time.Now()
	r := h.t.ask(h, "POST", "/api/v1/users/"+m.id+"/notifications/state", with(body, more), header...)
	if r.status != 202 {
		h.fail("changing many: %d %s", r.status, r.text)
		return
	}
	m.position = r.header.Get(positionHeader)
	for _, l := range those {
		was := l.handled()
		apply(l)
		l.handledOn(at, begin, was)
	}
}

// ack is an app that comes, reads and says how far.
func (h *household) ack(m *member, a act) {
	b := m.bell(a.n[1])
	if b == nil || h.asleep[b.address] || m.position == "" {
		return
	}
	if r := h.t.ask(h, "GET", "/beta/users/"+m.id+"/notifications", nil, positionHeader, m.position); r.status != 200 {
		h.fail("reading: %d %s", r.status, r.text)
		return
	}
	b.fetched = time.Now()
	r := h.t.ask(h, "POST", "/api/v1/users/"+m.id+"/feed/ack", map[string]any{"position": m.position}, "X-UNS-ID", b.subscription)
	if r.status != 202 {
		h.fail("acknowledging: %d %s", r.status, r.text)
	}
}

// join registers an endpoint, or renews it, with a new address now and then. The
// phone of the house comes from whoever has it.
func (h *household) join(m *member, a act) {
	kind := a.n[1] % 4
	installation := []string{"phone", "desk", "tab", "house"}[kind]
	platform := []string{"ios", "windows", "android", "android"}[kind]
	old := m.bells[installation]
	b := &bell{installation: installation, platform: platform, from: h.step, born: h.step, own: map[string]int{}}
	switch {
	case kind == 3:
		b.address = address(platform, h.name)
	case old != nil && a.n[2]%3 != 0:
		b.address = old.address
	default:
		b.address = address(platform, fmt.Sprint(m.id, installation, h.step))
	}
	app := bundle
	if platform == "windows" {
		app = aumid
	}
	r := h.t.ask(h, "PUT", "/api/v1/users/"+m.id+"/endpoints/"+installation, map[string]string{"host": host, "platform": platform, "address": b.address, "appId": app})
	if r.status != 200 {
		h.fail("registering: %d %s", r.status, r.text)
		return
	}
	b.subscription = r.str("subscriptionId")
	if old != nil {
		b.born, b.own, b.fetched = old.born, old.own, old.fetched
		if old.address == b.address {
			b.from = old.from
		} else {
			h.closes(old)
		}
	}
	m.bells[installation] = b
	if old == nil || old.address != b.address {
		h.tenures = append(h.tenures, &tenure{who: m.id, installation: installation, address: b.address, born: b.born, until: forGood})
	}
	if kind == 3 {
		h.evicted(m)
	}
}

// evicted waits until whoever had the phone of the house lost it.
func (h *household) evicted(by *member) {
	for _, m := range h.people {
		b := m.bells["house"]
		if m == by || b == nil {
			continue
		}
		for !h.t.over() {
			r := h.t.ask(h, "GET", "/api/v1/users/"+m.id+"/endpoints", nil)
			if r.status == 200 && !strings.Contains(string(r.text), `"house"`) {
				break
			}
			h.t.rest(20 * time.Millisecond)
		}
		delete(m.bells, "house")
		h.step++ // what is sent from now on does not ring there
		h.closes(b)
	}
}

// closes ends the time for which an endpoint has its address.
func (h *household) closes(b *bell) {
	for _, t := range h.tenures {
		if t.installation == b.installation && t.address == b.address && t.until == forGood && t.born == b.born {
			t.until = h.step
		}
	}
}

func (h *household) leave(m *member, a act) {
	b := m.bell(a.n[1])
	if b == nil {
		return
	}
	if r := h.t.ask(h, "DELETE", "/api/v1/users/"+m.id+"/endpoints/"+b.installation, nil); r.status != 204 {
		h.fail("leaving: %d %s", r.status, r.text)
		return
	}
	delete(m.bells, b.installation)
	h.closes(b)
}

// trouble lets the vendor fail at the next pushes to a device.
func (h *household) trouble(m *member, a act) {
	b := m.bell(a.n[1])
	if b == nil {
		return
	}
	f := map[string]any{"address": b.address, "times": 1 + a.n[2]%2}
	switch a.n[3] % 10 {
	case 0, 1, 2, 3:
		f["status"], f["reason"] = 503, "ServiceUnavailable"
		if b.platform == "android" { // which waits ten seconds after a 503: too long to have many
			delete(f, "status")
			delete(f, "reason")
			f["disconnect"] = true
		}
	case 4:
		f["disconnect"] = true
	case 5:
		f["reset"] = true
	case 6:
		f["goAway"], f["disconnect"] = true, true
	case 7:
		if b.platform == "android" { // its lane shuts, and what comes parks
			f["status"], f["reason"], f["retryAfter"] = 429, "QUOTA_EXCEEDED", "1"
		} else {
			f["delay"] = "700ms"
		}
	default:
		f["delay"] = "300ms"
	}
	h.t.faulty(f)
}
