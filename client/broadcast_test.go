package client_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"carillon/client"
)

func everybody() *client.NewBroadcast { return &client.NewBroadcast{Notification: *note()} }

// A broadcast is a line of content and a line for each user; one that fails for
// now is repeated from its first user on, under its key.
func TestBroadcast(t *testing.T) {
	var bodies []string
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/broadcasts" || r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s %s of %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if bodies = append(bodies, string(body)); len(bodies) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"b","targetHostName":"a.localhost","key":"k","state":"running","accepted":3,"whole":true,"notifications":2,"planned":4,`+
			`"waiting":1,"outcomes":{"accepted":3},"maxPerSecond":7,"ratePerSecond":1.5,"etaDateTime":"2026-11-26T00:00:00Z","boundBy":"maxPerSecond",`+
			`"recall":{"state":"running","notifications":2,"askedDateTime":"2026-11-26T00:00:00Z"}}`)
	})
	b, err := c.Sender().Broadcast(t.Context(), everybody(), client.UserIDs("ex.a", `ex."`, "ex.c"))
	if err != nil || b.ID != "b" || b.Waiting != 1 || b.Outcomes["accepted"] != 3 || b.MaxPerSecond != 7 || b.PerSecond != 1.5 ||
		b.BoundBy != "maxPerSecond" || b.ETA.IsZero() || b.Recall.Notifications != 2 {
		t.Errorf("%+v, %v", b, err)
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] {
		t.Fatalf("posted %q", bodies)
	}
	head, rest, _ := strings.Cut(bodies[0], "\n")
	if !strings.HasPrefix(head, `{"key":"`) || strings.HasPrefix(head, `{"key":""`) || !strings.HasSuffix(head, `"payload":{"rawContent":"x"}}}`) || rest != "\"ex.a\"\n\"ex.\\\"\"\n\"ex.c\"\n" {
		t.Errorf("posted %s\n%s", head, rest)
	}
}

// A service that does not read holds up the users.
func TestBroadcastBackPressure(t *testing.T) {
	drawn, seen := 0, 0
	c := through(t, func(r *http.Request) (*http.Response, error) {
		defer func() { _ = r.Body.Close() }()
		lines := bufio.NewReaderSize(r.Body, 16)
		for range 100_000 {
			if _, err := lines.ReadString('\n'); err != nil {
				return nil, err
			}
		}
		seen = 100_000
		return respond(403, `{"error":{"code":"accessDenied","message":"enough"}}`), nil
	})
	_, err := c.Sender().Broadcast(t.Context(), everybody(), func(yield func(string) bool) error {
		for yield("ex.endless") {
			drawn++
		}
		return nil
	})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != 403 {
		t.Errorf("refused: %v", err)
	}
	if ahead := drawn - seen; ahead < 0 || ahead > 3*64<<10/len("\"ex.endless\"\n") {
		t.Errorf("%d users were drawn beyond the %d that were read", ahead, seen)
	}
}

// Whose users cannot be told is not repeated, and never whole.
func TestBroadcastOfUnknownUsers(t *testing.T) {
	lost, calls := errors.New("the query was cut"), 0
	ends := make(chan error, 1)
	c := against(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ends <- err
	})
	_, err := c.Sender().Broadcast(t.Context(), everybody(), func(yield func(string) bool) error {
		calls++
		yield("ex.a")
		return lost
	})
	if !errors.Is(err, lost) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	select {
	case err := <-ends:
		if err == nil {
			t.Error("the service read a body that ends well")
		}
	case <-t.Context().Done():
	}
}

// Each verb is its call, and the list follows its pages.
func TestBroadcastVerbs(t *testing.T) {
	var calls []string
	c := through(t, func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		calls = append(calls, fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body))
		if r.URL.Path != "/api/v1/broadcasts" {
			return respond(200, `{"id":"b"}`), nil
		}
		if r.URL.Query().Get("$skiptoken") == "" {
			return respond(200, `{"value":[{"id":"3"},{"id":"2"}],"@odata.nextLink":"http://elsewhere/api/v1/broadcasts?host=h&$skiptoken=2"}`), nil
		}
		return respond(200, `{"value":[{"id":"1"}]}`), nil
	})
	s, ctx := c.Sender(), t.Context()
	for _, call := range []func() (*client.Broadcast, error){
		func() (*client.Broadcast, error) { return s.GetBroadcast(ctx, "b") },
		func() (*client.Broadcast, error) { return s.PauseBroadcast(ctx, "b") },
		func() (*client.Broadcast, error) { return s.ResumeBroadcast(ctx, "b") },
		func() (*client.Broadcast, error) { return s.PaceBroadcast(ctx, "b", 50) },
		func() (*client.Broadcast, error) { return s.PaceBroadcast(ctx, "b", 0) },
		func() (*client.Broadcast, error) { return s.CancelBroadcast(ctx, "b") },
		func() (*client.Broadcast, error) { return s.RecallBroadcast(ctx, "b") },
	} {
		if b, err := call(); err != nil || b.ID != "b" {
			t.Errorf("%+v, %v", b, err)
		}
	}
	var ids []string
	for b, err := range s.Broadcasts(ctx, "h") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, b.ID)
	}
	want := []string{
		"GET /api/v1/broadcasts/b ", `PATCH /api/v1/broadcasts/b {"state":"paused"}`, `PATCH /api/v1/broadcasts/b {"state":"running"}`,
		`PATCH /api/v1/broadcasts/b {"maxPerSecond":50}`, `PATCH /api/v1/broadcasts/b {"maxPerSecond":null}`,
		`PATCH /api/v1/broadcasts/b {"state":"cancelled"}`, `PATCH /api/v1/broadcasts/b {"recall":true}`,
		"GET /api/v1/broadcasts?host=h ", "GET /api/v1/broadcasts?host=h&$skiptoken=2 ",
	}
	if !slices.Equal(calls, want) || strings.Join(ids, "") != "321" {
		t.Errorf("%q, listed %q", calls, ids)
	}
}
