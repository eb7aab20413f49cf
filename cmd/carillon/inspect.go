package main

import (
	"context"
	"encoding/json"
	"net/http"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
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
	s.ops.Check("disk", s.space.check)
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
	k, err := findKnown(s.store, &s.ids, u, id)
	if err != nil {
		return nil, err
	}
	k.lanes = s.dispatcher.Waiting
	return explain(u, id, k, s.clock.UnixMilli()), nil
}

// moveClock tells (GET) or moves (POST) the one clock of everything that waits
// or expires.
func (s *system) moveClock(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet:
		return clockAnswer{Now: s.clock.Now(), Key: s.issuer.KeyID()}, nil
	default:
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", `GET, or POST {"by":"+31d"}`)
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
	return clockAnswer{Now: s.clock.Now(), Key: s.issuer.KeyID()}, nil
}
