//go:build acceptance

package acceptance_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	browser      = "chromium-headless-shell"
	browserLimit = 60 * time.Second
)

// page follows a user's feed from another origin, as a web app would, and tells
// its own server what it sees.
const page = `<!doctype html><meta charset=utf-8><script>
const api = %q, token = %q, tell = (text) => fetch("/told", { method: "POST", body: text });
(async () => {
  let answer;
  try {
    answer = await fetch(api + "/api/v1/me/feed/tickets", { method: "POST", headers: { Authorization: "Bearer " + token } });
  } catch (e) { return tell("refused " + e.name); }
  if (answer.status !== 201) return tell("refused " + answer.status);
  const feed = new EventSource((await answer.json()).url);
  feed.onopen = () => tell("open");
  feed.onerror = () => tell("broken");
  feed.addEventListener("changed", (e) => {
    const n = JSON.parse(e.data);
    tell(n.payload.visualContent.title + " " + n.userActionState);
  });
  feed.addEventListener("removed", (e) => tell("removed " + JSON.parse(e.data)["@removed"].reason));
})();
</script>`

// TestBrowser: a page of a registered web origin follows the live feed by ticket
// and sees what another device dismisses and deletes; a page of another origin is
// refused.
func TestBrowser(t *testing.T) {
	needs(t, browser)
	dir := workDir(t)
	s := serve(t, dir+"/data")
	admin := strings.TrimSpace(carillon(t, "token", "--data", s.data, "--admin"))
	const app = "web.localhost"
	token := strings.TrimSpace(carillon(t, "token", "--data", s.data, "--user", "bella", "--client", "web-client"))
	site := func() (url string, told chan string) {
		told = make(chan string, 64)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/told" {
				b, _ := io.ReadAll(r.Body)
				told <- string(b)
				return
			}
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, page, s.url, token)
		}))
		t.Cleanup(srv.Close)
		return srv.URL, told
	}
	own, told := site()
	foreign, refused := site()
	s.call(t, admin, "PUT", "/api/v1/apps/"+app, nil).want(t, 201)
	s.call(t, admin, "PUT", "/api/v1/apps/"+app+"/clients", map[string]any{"clients": []string{"web-client"}}).want(t, 200)
	s.call(t, admin, "PUT", "/api/v1/apps/"+app+"/identities", map[string]any{"identities": []map[string]string{{"platform": "web", "appId": own}}}).want(t, 200)

	heard := func(told chan string, want string) {
		t.Helper()
		limit := time.NewTimer(browserLimit)
		defer limit.Stop()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("the page tells %q, want %q", got, want)
			}
		case <-limit.C:
			t.Fatalf("the page tells nothing, want %q", want)
		}
	}
	for _, url := range []string{foreign, own} {
		cmd := exec.Command(browser, "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--remote-debugging-port=0",
			"--user-data-dir="+t.TempDir(), url)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Debian's is a script that starts it
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		})
		if url == foreign {
			heard(refused, "refused TypeError") // the browser shows the page nothing of an answer that is not for it
		}
	}
	heard(told, "open")
	note := visual("dinner", "")
	note["targetHostName"] = app
	id := s.call(t, token, "POST", "/beta/me/notifications", note).want(t, 201).str("id")
	heard(told, "dinner NoInteraction")
	s.call(t, token, "PATCH", "/beta/me/notifications/"+id, map[string]any{"userActionState": "Dismissed"})
	heard(told, "dinner Dismissed")
	s.call(t, token, "DELETE", "/beta/me/notifications/"+id, nil).want(t, 204)
	heard(told, "removed deleted")
	s.stop(t)
}
