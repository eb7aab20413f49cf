package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"carillon"
	"carillon/internal/httpapi"
	"carillon/provider/sandbox"
)

// vendors answers what scripts ask of sandbox vendors.
type vendors struct{ *sandbox.Server }

func (v vendors) register(ops *httpapi.Ops) {
	ops.Handle("/sandbox/devices", v.devices)
	ops.Handle("/sandbox/counts", func(context.Context, httpapi.OpsRequest) (any, error) { return v.Counts(), nil })
	ops.Handle("/sandbox/received", func(context.Context, httpapi.OpsRequest) (any, error) { return v.Received(), nil })
	ops.Handle("/sandbox/faults", v.faults)
	ops.Handle("/sandbox/acts", v.acts)
	ops.Handle("/sandbox/conduct", v.conduct)
	ops.Handle("/sandbox/keys", v.keys)
	ops.Handle("/sandbox/certificates", v.certificates)
}

// devicePatch is the body of PATCH /sandbox/devices/{address}; what is not named
// stays.
type devicePatch struct {
	Offline *bool `json:"offline,omitempty"`
	Gone    *bool `json:"gone,omitempty"`
	// Since is the timestamp of APNs' 410; not given: now.
	Since time.Time `json:"since,omitzero"`
}

// deviceView is what /sandbox/devices/{address} answers.
type deviceView struct {
	sandbox.Device
	// Tray is what it shows, Arrivals what it got in its order.
	Tray     []sandbox.Shown    `json:"tray"`
	Arrivals []sandbox.Received `json:"arrivals"`
}

func devicePath(address string) string { return "/sandbox/devices/" + url.PathEscape(address) }

// devices answers GET /sandbox/devices and, below it, …/{percent-encoded address},
// …/tray, …/inbox and …/arrivals; PATCH …/{address} changes the device.
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
	case "":
		return v.device(address, r)
	case "arrivals":
		return v.Arrivals(address), nil
	case "tray":
		return v.Tray(address), nil
	case "inbox":
		return v.Inbox(address), nil
	}
	return nil, carillon.Errorf(carillon.CodeNotFound, "", "ask for …/{address}, …/{address}/tray, /inbox or /arrivals; percent-encode the address")
}

// device tells of one device, or changes it.
func (v vendors) device(address string, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPatch:
		p := devicePatch{Since: v.Now()}
		dec := json.NewDecoder(bytes.NewReader(r.Body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", `want {"offline":true} or {"gone":true}: %v`, err)
		}
		if p.Offline != nil {
			v.SetOffline(address, *p.Offline)
		}
		if p.Gone != nil && *p.Gone {
			v.SetGone(address, p.Since)
		} else if p.Gone != nil {
			v.SetGone(address, time.Time{})
		}
	case http.MethodGet:
	default:
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET or PATCH")
	}
	d, ok := v.Device(address)
	if !ok { // it got nothing yet
		d.Address = address
	}
	return deviceView{Device: d, Tray: v.Tray(address), Arrivals: v.Arrivals(address)}, nil
}

// list reads one JSON value of a kind or an array of them.
func list[T any](body []byte, what string) ([]T, error) {
	text := strings.TrimSpace(string(body))
	if !strings.HasPrefix(text, "[") {
		text = "[" + text + "]"
	}
	var out []T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "%s, or an array of them, is wanted: %v", what, err)
	}
	return out, nil
}

// faults lists (GET), adds (POST: a fault or an array of them) or clears
// (DELETE) what the sandbox vendors shall do wrong.
func (v vendors) faults(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPost:
		fs, err := list[sandbox.Fault](r.Body, "a fault")
		if err != nil {
			return nil, err
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

// acts lists (GET), does or plans (POST) or stops (DELETE) what vendors do to
// their connections.
func (v vendors) acts(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPost:
		as, err := list[sandbox.Act](r.Body, "an act")
		if err != nil {
			return nil, err
		}
		if err := v.Act(as...); err != nil {
			return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "%v", err)
		}
	case http.MethodDelete:
		v.StopActs()
	case http.MethodGet:
	default:
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET, POST or DELETE")
	}
	return v.Acts(), nil
}

// keys tells how the APNs keys were used (GET), makes one more (POST
// {"teamId":…,"environment":…}) or revokes one (DELETE ?keyId=…).
func (v vendors) keys(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPost:
		var want struct {
			TeamID      string `json:"teamId"`
			Environment string `json:"environment"`
		}
		if len(r.Body) > 0 {
			if err := json.Unmarshal(r.Body, &want); err != nil {
				return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", `want {"teamId":"…","environment":"sandbox"}: %v`, err)
			}
		}
		k, err := v.IssueAPNsKey(want.TeamID, want.Environment)
		if err != nil {
			return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", "%v", err)
		}
		return k, nil
	case http.MethodDelete:
		v.RevokeAPNsKey(r.Query.Get("keyId"))
		return nil, nil //nolint:nilnil // an empty object
	case http.MethodGet:
		return v.KeyUses(), nil
	}
	return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET, POST, or DELETE with ?keyId=")
}

// certificateLife is how long a push certificate of Apple's lives.
const certificateLife = 365 * 24 * time.Hour

// certificates makes an APNs certificate (POST {"bundle":…,"environment":…}).
func (v vendors) certificates(_ context.Context, r httpapi.OpsRequest) (any, error) {
	if r.Method != http.MethodPost {
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "POST")
	}
	var want struct {
		Bundle      string `json:"bundle"`
		Environment string `json:"environment"`
	}
	if err := json.Unmarshal(r.Body, &want); err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", `want {"bundle":"com.example.news","environment":"production"}: %v`, err)
	}
	c, err := v.IssueAPNsCertificate(want.Bundle, want.Environment, v.Now().Add(certificateLife))
	if err != nil {
		return nil, carillon.Errorf(carillon.CodeInvalidRequest, "bundle", "%v", err)
	}
	return c, nil
}

// conduct tells (GET) or changes (PATCH) how the vendors always are.
func (v vendors) conduct(_ context.Context, r httpapi.OpsRequest) (any, error) {
	switch r.Method {
	case http.MethodPatch:
		if err := v.PatchConduct(r.Body); err != nil {
			return nil, carillon.Errorf(carillon.CodeInvalidRequest, "", `want {"apns":{"streams":500}}: %v`, err)
		}
	case http.MethodGet:
	default:
		return nil, carillon.Errorf(carillon.CodeMethodNotAllowed, "", "GET or PATCH")
	}
	out := map[sandbox.Vendor]sandbox.Conduct{}
	for _, vendor := range []sandbox.Vendor{sandbox.APNs, sandbox.FCM, sandbox.WNS, sandbox.Token} {
		out[vendor] = v.Conduct(vendor)
	}
	return out, nil
}
