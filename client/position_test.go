package client_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"carillon/client"
)

// roundTrip is a transport without a network.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func bearer(context.Context) (string, error) { return "t", nil }

// through makes a client over that transport.
func through(t *testing.T, f roundTrip) *client.Client {
	t.Helper()
	c, err := client.New("http://carillon.test", client.Options{
		Token: bearer, HTTP: &http.Client{Transport: f}, Attempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func position(partition, seq byte) string {
	return base64.RawURLEncoding.EncodeToString([]byte{1, 0, partition, 0, 0, 0, 0, 0, 0, 0, seq})
}

const tokenHeader = "ReadWriteConsistencyToken"

// What is read comes behind what was written: with the newest position, whatever
// the order of the answers, and each user's own.
func TestReadsSeeOwnWrites(t *testing.T) {
	answers, brought := "", ""
	c := through(t, func(r *http.Request) (*http.Response, error) {
		brought = r.Header.Get(tokenHeader)
		return respond(200, "{}", tokenHeader, answers), nil
	})
	d := c.Device(client.DeviceOptions{Host: "A.localhost", Installation: "i"})
	reads := func(what, want string) {
		t.Helper()
		if _, err := d.Get(t.Context(), "n"); err != nil || brought != want {
			t.Errorf("%s: a read brought %q, want %q, %v", what, brought, want, err)
		}
	}
	writes := func(answer string) {
		t.Helper()
		answers = answer
		if err := d.SetRead(t.Context(), "n", true); err != nil {
			t.Fatal(err)
		}
		answers = ""
	}
	reads("at first", "")
	writes(position(7, 2))
	reads("after a write", position(7, 2))
	writes(position(7, 1)) // an answer that was overtaken
	reads("after an older one", position(7, 2))
	writes(position(7, 200))
	reads("after a newer one", position(7, 200))
	writes("of another form")
	reads("of another form", "of another form")
	writes(position(3, 1)) // another user signed in
	reads("in another partition", position(3, 1))
	other := c.Device(client.DeviceOptions{Host: "b.localhost"})
	if _, err := other.Get(t.Context(), "n"); err != nil || brought != "" {
		t.Errorf("another app brought %q, %v", brought, err)
	}

	s := c.Sender()
	send := func(user, answer string) {
		t.Helper()
		answers = answer
		if _, err := s.Send(t.Context(), client.To{UserID: user}, note(), ""); err != nil || brought != "" {
			t.Errorf("a send brought %q, %v", brought, err)
		}
		answers = ""
	}
	send("ex.a", position(1, 1))
	send("ex.b", position(2, 2))
	for _, x := range []struct{ host, user, want string }{
		{"a.localhost", "ex.a", position(1, 1)},
		{"", "ex.a", position(1, 1)},
		{"a.localhost", "ex.b", position(2, 2)},
		{"b.localhost", "ex.a", ""},
		{"a.localhost", "ex.c", ""},
	} {
		if _, err := c.Sender().Deliveries(t.Context(), x.host, x.user, "n"); err != nil || brought != x.want {
			t.Errorf("deliveries of %s in %q brought %q, want %q, %v", x.user, x.host, brought, x.want, err)
		}
	}
}

// A position that the service refuses is forgotten: it is of one that was there
// before, under this name.
func TestForeignPositionIsForgotten(t *testing.T) {
	var brought []string
	c := through(t, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch {
			return respond(200, "{}", tokenHeader, position(1, 1)), nil
		}
		if brought = append(brought, r.Header.Get(tokenHeader)); brought[len(brought)-1] != "" {
			return respond(400, `{"error":{"code":"invalidRequest","message":"not one of this service","target":"position"}}`), nil
		}
		return respond(200, `{"id":"n"}`), nil
	})
	d := c.Device(client.DeviceOptions{Host: "a.localhost"})
	if err := d.SetRead(t.Context(), "n", true); err != nil {
		t.Fatal(err)
	}
	if it, err := d.Get(t.Context(), "n"); err != nil || it.ID != "n" || len(brought) != 2 {
		t.Errorf("%+v, %v after %q", it, err, brought)
	}
}

// However many users a sender writes to, what it knows of them is bounded, and
// those of lately stay.
func TestPositionsAreBounded(t *testing.T) {
	brought := ""
	c := through(t, func(r *http.Request) (*http.Response, error) {
		brought = r.Header.Get(tokenHeader)
		return respond(200, "{}", tokenHeader, position(1, 1)), nil
	})
	s := c.Sender()
	const users = 30_000
	for i := range users {
		if _, err := s.Send(t.Context(), client.To{UserID: fmt.Sprint("ex.", i)}, note(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	for user, known := range map[string]bool{"ex.0": false, fmt.Sprint("ex.", users-1): true, fmt.Sprint("ex.", users-4000): true} {
		if _, err := s.Deliveries(t.Context(), "a.localhost", user, "n"); err != nil || (brought != "") != known {
			t.Errorf("of %s it brought %q, %v", user, brought, err)
		}
	}
}
