package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

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
