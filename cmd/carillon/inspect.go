package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
	"carillon/provider/sandbox"
)

// registerOps puts on the ops listener what operators and scripts ask of a
// running process.
func (s *system) registerOps() {
	s.ops.Handle("/why", s.why)
	s.ops.Handle("/audit", s.audit)
	s.ops.Handle("/backup", s.backup)
	s.ops.Check("store", func(context.Context) error {
		_, err := s.store.Progress(0)
		return err
	})
	s.ops.Check("dispatcher", func(context.Context) error { return s.dispatcher.Ready(s.cfg.Journal.Partitions) })
	if s.sandbox == nil {
		return
	}
	vendors{s.sandbox}.register(s.ops)
	if s.issuer != nil {
		s.ops.Handle("/sandbox/clock", s.moveClock)
	}
}

// why tells what became of a notification.
func (s *system) why(_ context.Context, r httpapi.OpsRequest) (any, error) {
	u, err := carillon.ParseUser(r.Query.Get("user"))
	if err != nil {
		return nil, err
	}
	id, err := carillon.ParseID(r.Query.Get("notification"))
	if err != nil {
		return nil, err
	}
	it, err := findItem(s.store, &s.ids, u, id)
	if err != nil {
		return nil, err
	}
	return explain(u, id, it, s.clock.UnixMilli()), nil
}

// vendors answers what scripts ask of sandbox vendors.
type vendors struct{ *sandbox.Server }

func (v vendors) register(ops *httpapi.Ops) {
	ops.Handle("/sandbox/devices", v.devices)
	ops.Handle("/sandbox/counts", func(context.Context, httpapi.OpsRequest) (any, error) { return v.Counts(), nil })
	ops.Handle("/sandbox/received", func(context.Context, httpapi.OpsRequest) (any, error) { return v.Received(), nil })
	ops.Handle("/sandbox/faults", v.faults)
}

// devices answers GET /sandbox/devices, …/{percent-encoded address}/tray and
// …/inbox.
func (v vendors) devices(_ context.Context, r httpapi.OpsRequest) (any, error) {
	rest := strings.Trim(strings.TrimPrefix(r.Path, "/sandbox/devices"), "/")
	if rest == "" {
		return v.Devices(), nil
	}
	encoded, what, _ := strings.Cut(rest, "/")
	address, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "address", "%q is not percent-encoded", encoded)
	}
	switch what {
	case "tray":
		return v.Tray(address), nil
	case "inbox":
		return v.Inbox(address), nil
	}
	return nil, carillon.Errorf(carillon.CodeNotFound, "", "ask for …/{address}/tray or …/{address}/inbox; percent-encode the address")
}

// faults lists (GET), adds (POST: a fault or an array of them) or clears
// (DELETE) what the sandbox vendors shall do wrong.
func (v vendors) faults(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPost:
		body := strings.TrimSpace(string(r.Body))
		if !strings.HasPrefix(body, "[") {
			body = "[" + body + "]"
		}
		var fs []sandbox.Fault
		if err := json.Unmarshal([]byte(body), &fs); err != nil {
			return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "a fault, or an array of them, is wanted: %v", err)
		}
		v.Script(fs...)
	case http.MethodDelete:
		v.Unscript()
	case http.MethodGet:
	default:
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET, POST or DELETE")
	}
	return v.Faults(), nil
}

// moveClock moves the one clock of everything that waits or expires.
func (s *system) moveClock(_ context.Context, r httpapi.OpsRequest) (any, error) {
	if r.Method != http.MethodPost {
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", `POST {"by":"+31d"}`)
	}
	var m clockMove
	if err := json.Unmarshal(r.Body, &m); err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "by", `want {"by":"+31d"}: %v`, err)
	}
	d, err := config.ParseDuration(m.By)
	if err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "by", "%v", err)
	}
	if d < 0 {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "by", "the clock only goes forward: what waits for a time that is over would wait again")
	}
	s.clock.Move(d)
	return clockAnswer{Now: s.clock.Now()}, nil
}
