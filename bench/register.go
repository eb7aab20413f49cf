package bench

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Registration is what registering the users took: one endpoint each, by the
// servers' import, until the last one is settled, its address claimed.
type Registration struct {
	Users int `json:"users"`
	// AnsweredSeconds is until the import was answered: all are in the journal.
	AnsweredSeconds float64 `json:"answeredSeconds"`
	// Seconds is until all are applied and their addresses are theirs.
	Seconds float64 `json:"seconds"`
	// GatewayMicros is CPU of the gateway, microseconds a user.
	GatewayMicros float64 `json:"gatewayMicros"`
}

func userName(i int) string { return fmt.Sprintf("dev.u%07d", i) }

// register gives every user an endpoint and waits until all are settled: what
// is left of it would count for the first round.
func (r *w1run) register(ctx context.Context) error {
	r.say("registering %d users", r.Users)
	before, err := r.counters(ctx)
	if err != nil {
		return err
	}
	const perRequest = 20_000
	for from := 0; from < r.Users; from += perRequest {
		var b bytes.Buffer
		for i := from; i < min(from+perRequest, r.Users); i++ {
			fmt.Fprintf(&b, `{"userId":%q,"installationId":"phone","host":%q,"platform":"ios","address":"%064x","appId":%q}`+"\n",
				userName(i), benchHost, i, bundle)
		}
		if err := r.post(ctx, "/api/v1/endpoints", b.Bytes()); err != nil {
			return fmt.Errorf("bench: registering: %w", err)
		}
	}
	answered := now()
	if err := r.awaitSettled(ctx, int64(2*r.Users)); err != nil { // a registration and its claim each
		return fmt.Errorf("bench: registering: %w", err)
	}
	after, err := r.counters(ctx)
	if err != nil {
		return err
	}
	r.joined = Registration{
		Users: r.Users, AnsweredSeconds: answered.Sub(before.at).Seconds(), Seconds: after.at.Sub(before.at).Seconds(),
		GatewayMicros: float64((after.gateway - before.gateway).Microseconds()) / float64(r.Users),
	}
	return nil
}

const (
	settledTotal = "carillon_dispatch_records_settled_total"
	pollMetrics  = 50 * time.Millisecond
)

// awaitSettled waits until the gateway has settled so many records.
func (r *w1run) awaitSettled(ctx context.Context, records int64) error {
	ctx, done := context.WithTimeout(ctx, settle)
	defer done()
	t := ticker(pollMetrics)
	defer t.Stop()
	for {
		var text []byte
		if err := r.ops(ctx, r.gate.Ops+"/metrics", &text); err != nil {
			return err
		}
		n, err := metric(string(text), settledTotal)
		if err != nil || n >= records {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records were settled within %s; logs are in %s", n, records, settle, r.Dir)
		case <-t.C:
		}
	}
}

// metric finds a whole number without labels in Prometheus' text format.
func metric(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("the gateway has no metric %s", name)
}
