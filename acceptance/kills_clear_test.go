//go:build acceptance

package acceptance_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	trayUsers = 60
	trayItems = 2_400 // 40 a user
	trayKills = 16
)

func trayUser(i int) string { return fmt.Sprintf("dev.tray-%d", i%trayUsers) }

// TestDismissalsSurviveKills sends notifications to three devices each and
// dismisses every one of them, while the gateway is killed again and again. In
// the end no tray shows any: no clear is lost, and no push comes after its clear.
// Every planned delivery's end is told, once. A quarter of the kills is inside a
// settle.
//
// Without kills too trays stay full for three reasons, which are kept away here.
// Apple lets three background pushes an hour through to a device, and Google 20
// collapsible ones and then one in three minutes: what is beyond waits with the
// vendor, one of a kind. So the sandbox's budgets are off. And a clear that would
// name more than 64 notifications since the device last asked is a tap: an app
// fetches then, the sandbox's devices do not. So there are fewer for each.
func TestDismissalsSurviveKills(t *testing.T) {
	random, dir := dice(t), workDir(t)
	box := startSandbox(t, dir)
	fetch(t, box.http, box.told.Ops+"/sandbox/conduct", "", "PATCH",
		json.RawMessage(`{"apns":{"backgroundPerHour":0},"fcm":{"collapsibleBurst":0}}`)).want(t, 200)
	config := box.config(t, dir)
	extend(t, config, fmt.Sprintf("dispatch: {credits: %d}\n", killsCredits))
	f := &flood{t: t, http: client(t), ids: make([]string, trayItems)}
	f.http.Timeout = 5 * time.Second
	m := &mortal{t: t, b: &bulks{flood: f}, bin: crashing(t), data: filepath.Join(dir, "data"), args: []string{"--config", config}}
	m.up("")
	m.now.ready(t)
	f.token = strings.TrimSpace(carillon(t, "token", "--data", m.data, "--app", host))
	f.each(3*trayUsers, func(i int) {
		platform, user := outagePlatforms[i%3], trayUser(i/3)
		body, _ := json.Marshal(map[string]string{"host": host, "platform": platform, "address": address(platform, user)})
		f.insist("PUT", "/api/v1/users/"+user+"/endpoints/"+platform, body, 200)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.each(trayItems, f.sendAndDismiss)
	}()
	t.Cleanup(func() { f.giveUp.Store(true); <-done })
	for n := range trayKills {
		after := int64((n + 1) * trayItems / (trayKills + 1))
		until(t, killsLimit, fmt.Sprintf("%d are dismissed", after), func() bool { return f.accepted.Load() >= after })
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond)
		m.now.kill()
		if n%4 == 3 && m.up(fmt.Sprintf("%s:%d", []string{crashSettle, crashSettled}[n/4%2], 1+random.IntN(40))) && !m.now.waits(15*time.Second) {
			m.now.kill()
		}
		if !m.up("") {
			t.Fatal("the gateway does not live")
		}
	}
	<-done
	if t.Failed() {
		t.FailNow()
	}
	m.now.ready(t)
	until(t, killsLimit, "everything is told", func() bool {
		a := m.now.audit(t)
		return a.Closed && a.Unsettled+a.Due+a.Parked+a.Clears == 0
	})
	told, all := m.now.told(t, f.token), int64(0)
	for _, n := range told {
		all += n
	}
	if t.Logf("told: %v", told); all != 3*trayItems {
		t.Errorf("the ends of %d deliveries are told, of %d", all, 3*trayItems)
	}
	for i := range trayUsers {
		for _, platform := range outagePlatforms {
			at := box.told.Ops + "/sandbox/devices/" + url.PathEscape(address(platform, trayUser(i)))
			var tray []shown
			box.ask(t, strings.TrimPrefix(at, box.told.Ops)+"/tray", &tray)
			if len(tray) > 0 {
				t.Errorf("%s, %s: %d of the dismissed are still shown: %+v\n%s", trayUser(i), platform, len(tray), tray,
					fetch(t, box.http, at+"/inbox", "", "GET", nil).text)
			}
		}
	}
}

// insist repeats a request until it has that status.
func (f *flood) insist(method, path string, body []byte, want int, headers ...string) (answer []byte) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for !f.giveUp.Load() {
		status, answer := f.ask(method, path, body, headers...)
		switch status {
		case want:
			return answer
		case 0, 429, 503, 404: // dead, busy, or not applied yet
		default:
			f.t.Errorf("%s %s: %d %s", method, path, status, answer)
			f.giveUp.Store(true)
		}
		<-pause.C
	}
	return nil
}

// sendAndDismiss sends a notification and says that it is done with.
func (f *flood) sendAndDismiss(i int) {
	path := "/beta/users/" + trayUser(i) + "/notifications"
	body, _ := json.Marshal(visual(fmt.Sprintf("number %d", i), ""))
	answer := f.insist("POST", path, body, 201, "Idempotency-Key", fmt.Sprintf("tray-%d", i))
	var sent struct{ ID string }
	if err := json.Unmarshal(answer, &sent); err != nil || sent.ID == "" {
		return
	}
	f.insist("PATCH", path+"/"+sent.ID, []byte(`{"userActionState":"Dismissed"}`), 200)
	f.accepted.Add(1)
}
