package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
)

// Scenario is how vendors shall be from the start: a JSON file of `carillon sandbox
// --script` and of the configuration's sandbox.script.
type Scenario struct {
	// Seed is [Config.Seed].
	Seed uint64 `json:"seed,omitempty"`
	// Conduct is as [Server.PatchConduct] reads it.
	Conduct json.RawMessage `json:"conduct,omitempty"`
	Faults  []Fault         `json:"faults,omitempty"`
	Acts    []Act           `json:"acts,omitempty"`
	// Offline and Gone are device addresses.
	Offline []string `json:"offline,omitempty"`
	Gone    []string `json:"gone,omitempty"`
}

// ReadScenario reads a file; names that a scenario does not have are errors.
func ReadScenario(path string) (Scenario, error) {
	var sc Scenario
	b, err := os.ReadFile(path)
	if err != nil {
		return sc, fmt.Errorf("sandbox: the script cannot be read: %w", err)
	}
	if err := decode(b, &sc); err != nil {
		return sc, fmt.Errorf(`sandbox: %s: %w; want {"seed":1,"conduct":{"apns":{…}},"faults":[…],"acts":[…],"offline":[…],"gone":[…]}`, path, err)
	}
	return sc, nil
}

// Play puts a scenario in force, but for its seed. Acts count from now.
func (s *Server) Play(sc Scenario) error {
	if len(sc.Conduct) > 0 {
		if err := s.PatchConduct(sc.Conduct); err != nil {
			return fmt.Errorf("sandbox: conduct: %w", err)
		}
	}
	for _, a := range sc.Offline {
		s.SetOffline(a, true)
	}
	now := s.cfg.Now()
	for _, a := range sc.Gone {
		s.SetGone(a, now)
	}
	s.Script(sc.Faults...)
	return s.Act(sc.Acts...)
}
