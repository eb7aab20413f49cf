package gateway

import (
	"strings"

	"carillon"
	"carillon/internal/httpapi"
)

// The states of an app.
const (
	stateRunning = "running"
	statePaused  = "paused"
)

type appStateBody struct {
	State string `json:"state"`
}

func (o *Onboarding) state(host string) string {
	if o.deps.Registry.isPaused(host) {
		return statePaused
	}
	return stateRunning
}

// patchState stops an app or lets it go on: while it is paused nothing of it is
// handed to a vendor. Sends are still taken, until as much is parked as may be.
// Apps of the configuration can be paused too: it is no part of what they are.
func (o *Onboarding) patchState(r *httpapi.Request, by made) error {
	host := strings.ToLower(r.Param("host"))
	if !o.deps.Registry.isFixed(host) {
		if _, err := o.found(host); err != nil {
			return err
		}
	}
	var body appStateBody
	if err := readBody(r, &body); err != nil {
		return err
	}
	if body.State != stateRunning && body.State != statePaused {
		return carillon.Errorf(carillon.CodeInvalidRequest, "state", "%.40q is neither running nor paused", body.State)
	}
	if err := o.keep(r, appPrefix+host+partState, &stateRow{made: by, Paused: body.State == statePaused}); err != nil {
		return err
	}
	return o.get(r, by)
}
