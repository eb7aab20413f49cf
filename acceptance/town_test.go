//go:build acceptance

package acceptance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	townAtOnce = 50 // households that play at the same time
	townQuiet  = 2 * time.Minute
	// townPatience is how long a device may still be wrong when all is quiet.
	townPatience = 15 * time.Second
	townLife     = 300 * time.Millisecond // of a gateway, at least
)

// town is a gateway that dies now and then, the vendors that outlive it, and the
// households whose scripts play there.
type town struct {
	t            *testing.T
	bin          string
	box          *vendors
	config, data string
	now          *site
	born         time.Time
	http         *http.Client
	token        string
	url          atomic.Pointer[string]
	death        chan string // what shall befall the gateway
	ended        atomic.Bool // nobody needs to go on

	killed, restarted, asked, again atomic.Int64
}

// newTown starts vendors without budgets: Apple's and Google's would excuse a
// clear that got lost.
func newTown(t *testing.T, bin string) *town {
	t.Helper()
	dir := workDir(t)
	w := &town{t: t, bin: bin, box: startSandbox(t, dir), data: filepath.Join(dir, "data"), death: make(chan string, 1), http: client(t)}
	w.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 4 * townAtOnce //nolint:forcetypeassert // ours
	w.http.Timeout = 10 * time.Second
	fetch(t, w.http, w.box.told.Ops+"/sandbox/conduct", "", "PATCH", map[string]any{
		"apns": map[string]any{"backgroundPerHour": 0}, "fcm": map[string]any{"collapsibleBurst": 0, "quotaPerMinute": 0},
	}).want(t, 200)
	w.config = w.box.config(t, dir)
	replace(t, w.config, "apns: {", "apns: {serverErrorWait: 500ms, ")
	w.up()
	w.token = strings.TrimSpace(carillon(t, "token", "--data", w.data, "--app", host))
	return w
}

func (w *town) up() {
	w.t.Helper()
	p := start(w.t, w.data+".log", w.bin, "serve", "--data", w.data, "--config", w.config, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--json")
	var told struct{ URL, Ops string }
	p.announced(w.t, &told)
	w.now = &site{process: p, url: told.URL, ops: told.Ops, data: w.data, http: w.http}
	w.now.ready(w.t)
	w.born = time.Now()
	w.url.Store(&told.URL)
}

// plays lets households play, some at a time, and the gateway die meanwhile.
func (w *town) plays(hs []*household) {
	w.t.Helper()
	var next atomic.Int64
	var players sync.WaitGroup
	for range townAtOnce {
		players.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(hs) && !w.over(); i = int(next.Add(1)) - 1 {
				hs[i].play()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		players.Wait()
		close(done)
	}()
	defer func() { w.ended.Store(true); <-done; w.ended.Store(false) }()
	for {
		select {
		case <-done:
			return
		case how := <-w.death:
			w.rest(townLife - time.Since(w.born)) // else nothing would ever happen
			if how == "crash" {
				w.now.kill()
				w.killed.Add(1)
			} else {
				w.now.stop(w.t)
				w.restarted.Add(1)
			}
			w.up()
		}
	}
}

// dies asks for the gateway's end; one is enough for all who ask.
func (w *town) dies(how string) {
	select {
	case w.death <- how:
	default:
	}
}

func (w *town) over() bool { return w.ended.Load() }

func (w *town) rest(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// ask sends a request until it gets an answer that says something: a gateway that
// is dead, starting or busy does not.
func (w *town) ask(h *household, method, path string, body any, headers ...string) *reply {
	for {
		r := w.try(method, path, body, headers...)
		switch r.status {
		case 0, 409, 429, 503:
			if w.over() || h.fault != "" {
				return r
			}
			w.again.Add(1)
			w.rest(20 * time.Millisecond)
		default:
			return r
		}
	}
}

// try sends a request once.
func (w *town) try(method, path string, body any, headers ...string) *reply {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return &reply{status: -1, text: []byte(err.Error())}
		}
	}
	w.asked.Add(1)
	return w.once(method, *w.url.Load()+path, text, headers)
}

// once sends a request; the status is 0 when no answer came.
func (w *town) once(method, target string, text []byte, headers []string) *reply {
	var in io.Reader
	if text != nil {
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, target, in)
	if err != nil {
		return &reply{text: []byte(err.Error())}
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	if text != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		return &reply{text: []byte(err.Error())}
	}
	defer res.Body.Close()
	r := &reply{status: res.StatusCode, header: res.Header}
	if r.text, err = io.ReadAll(res.Body); err != nil { // killed while it answered
		return &reply{text: []byte(err.Error())}
	}
	if len(r.text) > 0 && r.text[0] == '{' {
		_ = json.Unmarshal(r.text, &r.body)
	}
	return r
}

// device changes a sandbox device.
func (w *town) device(address string, body map[string]any) {
	text, _ := json.Marshal(body)
	w.once("PATCH", w.box.told.Ops+"/sandbox/devices/"+url.PathEscape(address), text, nil)
}

// faulty lets a vendor do something wrong.
func (w *town) faulty(f map[string]any) {
	text, _ := json.Marshal(f)
	w.once("POST", w.box.told.Ops+"/sandbox/faults", text, nil)
}

// quiet waits until nothing is under way any more: no delivery is open, none
// waits for its time.
func (w *town) quiet() {
	w.t.Helper()
	w.once("DELETE", w.box.told.Ops+"/sandbox/faults", nil, nil)
	until(w.t, townQuiet, "everything is settled", func() bool {
		a := w.now.audit(w.t)
		return a.Unsettled+a.Due+a.Parked+a.Clears == 0
	})
}

// judge compares what the devices of every household show with what is true, for
// a while again where it is not: what was answered last may still be on its way.
func (w *town) judge(hs []*household, patience time.Duration) (wrong map[*household][]string) {
	w.t.Helper()
	end := time.Now().Add(patience)
	for {
		var mu sync.Mutex
		var next atomic.Int64
		var judges sync.WaitGroup
		found := map[*household][]string{}
		for range 8 {
			judges.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(hs); i = int(next.Add(1)) - 1 {
					if faults := hs[i].wrong(); len(faults) > 0 {
						mu.Lock()
						found[hs[i]] = faults
						mu.Unlock()
					}
				}
			})
		}
		judges.Wait()
		if wrong = found; len(wrong) == 0 || time.Now().After(end) {
			return wrong
		}
		hs = hs[:0:0]
		for h := range wrong {
			hs = append(hs, h)
		}
		w.rest(500 * time.Millisecond)
	}
}

// arrived is what a sandbox device tells of itself.
type arrived struct {
	At             time.Time
	Mark           string
	Version        string
	NotificationID string
	Status         int
	Fate           string
	Order          int
	Body           json.RawMessage
}

type entry struct {
	NotificationID, Title string
	ShownAt               time.Time
}

func (w *town) ofDevice(address, what string, into any) error {
	r := w.once("GET", w.box.told.Ops+"/sandbox/devices/"+url.PathEscape(address)+"/"+what, nil, nil)
	if r.status != 200 {
		return fmt.Errorf("the sandbox says %d %s", r.status, r.text)
	}
	return json.Unmarshal(r.text, into)
}

// wrong lists where a household is not as its script left it.
func (h *household) wrong() (faults []string) {
	if h.fault != "" {
		return []string{h.fault}
	}
	for _, m := range h.people {
		faults = append(faults, h.history(m)...)
		for _, b := range m.bells {
			faults = append(faults, h.shows(m, b)...)
		}
	}
	var seen []string
	for _, t := range h.tenures {
		if !slices.Contains(seen, t.address) {
			seen = append(seen, t.address)
			faults = append(faults, h.rang(t.address)...)
		}
	}
	return faults
}

// history compares the person's list with what is true.
func (h *household) history(m *member) (faults []string) {
	headers := []string{}
	if m.position != "" {
		headers = []string{positionHeader, m.position}
	}
	r := h.t.ask(h, "GET", "/beta/users/"+m.id+"/notifications?$top=1000", nil, headers...)
	var list struct {
		Value []struct {
			ID, UserActionState string
			ReadState           bool
			Payload             struct{ VisualContent struct{ Title string } }
		}
	}
	if err := json.Unmarshal(r.text, &list); r.status != 200 || err != nil {
		return []string{fmt.Sprintf("the history of %s: %d %s", m.id, r.status, r.text)}
	}
	var got, want []string
	for _, n := range list.Value {
		if m.ghosts[n.Payload.VisualContent.Title] {
			continue
		}
		got = append(got, fmt.Sprintf("%s read %t, %s", n.Payload.VisualContent.Title, n.ReadState, n.UserActionState))
	}
	for _, l := range m.letters {
		if !l.deleted && m.find(l.id) == l {
			want = append(want, fmt.Sprintf("%s read %t, %s", l.title, l.read, l.action))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		faults = append(faults, fmt.Sprintf("the history of %s is %v, want %v", m.id, got, want))
	}
	return faults
}

// shows compares a device with its owner's state. Allowed is what the vendor's
// own rules explain, push by push: while a device sleeps APNs keeps one push of
// an app and WNS one of a kind. A tap makes an app read the feed, as it does by
// itself when it acknowledges; then it takes off what is handled.
func (h *household) shows(m *member, b *bell) (faults []string) {
	var tray []entry
	var inbox []arrived
	for what, into := range map[string]any{"tray": &tray, "inbox": &inbox} {
		if err := h.t.ofDevice(b.address, what, into); err != nil {
			return []string{err.Error()}
		}
	}
	defer func() {
		if len(faults) > 0 {
			faults = append(faults, "its inbox: "+digest(inbox))
		}
	}()
	shown := map[string]entry{}
	for _, e := range tray {
		shown[e.NotificationID] = e
	}
	for _, l := range m.letters {
		if m.find(l.id) != l || l.at <= b.from {
			continue
		}
		e, is := shown[l.id]
		switch own := b.own[l.id] >= l.at; {
		case is && own:
		case is && l.cleared() && !b.excused(inbox, e, l.since, l.id):
			faults = append(faults, fmt.Sprintf("%s of %s still shows %s (%s, at %s), which is read %t, %s, deleted %t since %s", b.installation, m.id, e.Title, l.id, e.ShownAt.Format("05.000"), l.read, l.action, l.deleted, l.since.Format("05.000")))
		case is && !l.cleared() && e.Title != l.title && !lost(inbox, l.title) && !b.excused(inbox, e, time.Time{}, l.id):
			faults = append(faults, fmt.Sprintf("%s of %s shows %s, which %s replaced", b.installation, m.id, e.Title, l.title))
		case !is && !l.touched && !own && !lost(inbox, l.title):
			faults = append(faults, fmt.Sprintf("%s of %s never showed %s", b.installation, m.id, l.title))
		}
	}
	return faults
}

// digest tells of an inbox in a few words.
func digest(inbox []arrived) string {
	var out []string
	for _, p := range inbox {
		what := p.NotificationID
		if p.Mark == "clear" {
			what = string(p.Body)
		}
		out = append(out, fmt.Sprintf("%s %s %s v%s %d %s", p.At.Format("05.000"), p.Mark, what, p.Version, p.Status, p.Fate))
	}
	return strings.Join(out, " | ")
}

// excused tells whether the entry stands only in the sandbox's tray: its app was
// told to read the feed, or read it by itself, after the person was done with it;
// or its vendor dropped by its own rules what would have cleared it.
func (b *bell) excused(inbox []arrived, e entry, since time.Time, id string) bool {
	if !b.fetched.Before(since) && !b.fetched.Before(e.ShownAt) {
		return true
	}
	came, order := 0, 0 // the last that showed it: to its vendor, and to the device
	for i, p := range inbox {
		if p.Mark == "alert" && p.NotificationID == id && p.Order > 0 {
			came, order = i, max(order, p.Order)
		}
	}
	for i, p := range inbox {
		tap := p.Mark == "tap"
		switch {
		case p.Status != 200 || !tap && p.Mark != "clear" || p.At.Before(since):
		case tap && p.Fate == "delivered" && p.Order > order:
			return true
		case overtaken(p.Fate) && i > came && (tap || bytes.Contains(p.Body, []byte(id))):
			return true
		}
	}
	return false
}

// overtaken are the fates of pushes that a vendor kept and then did not deliver.
func overtaken(fate string) bool { return fate == "replaced" || fate == "discarded" }

// lost tells whether the vendor took a content, and no device got it by the
// vendor's own rules.
func lost(inbox []arrived, title string) bool {
	taken := false
	for _, p := range inbox {
		if p.Mark != "alert" || p.Status != 200 || !carries(p.Body, title) {
			continue
		}
		if !overtaken(p.Fate) {
			return false
		}
		taken = true
	}
	return taken
}

// carries tells whether a push has a content.
func carries(body json.RawMessage, title string) bool {
	text := unwrapped(body)
	for _, escaped := range []string{title, strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace(title), strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(title)} {
		if strings.Contains(text, escaped) {
			return true
		}
	}
	return false
}

// rang looks for pushes at an address that were not for whoever had it then.
func (h *household) rang(address string) (faults []string) {
	var inbox []arrived
	if err := h.t.ofDevice(address, "inbox", &inbox); err != nil {
		return []string{err.Error()}
	}
	for _, m := range h.people {
		for _, c := range m.contents {
			allowed := slices.ContainsFunc(h.tenures, func(t *tenure) bool {
				return t.who == m.id && t.address == address && t.born < c.at && c.at < t.until
			})
			if !allowed && slices.ContainsFunc(inbox, func(p arrived) bool { return p.Mark == "alert" && carries(p.Body, c.title) }) {
				faults = append(faults, fmt.Sprintf("%s rang at %s…, which was not his then", c.title, address[:12]))
			}
		}
	}
	return faults
}
