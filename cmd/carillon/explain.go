package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"carillon"
	"carillon/journal"
)

// report is what became of one notification: the answer of GET
// /why?user=HOST/USER&notification=ID and of `carillon why --json`.
type report struct {
	User string `json:"user"`
	ID   string `json:"id"`
	// Position is where it stands in the journal: epoch/offset, and Partition.
	Position  string    `json:"position"`
	Partition int32     `json:"partition"`
	Accepted  time.Time `json:"acceptedDateTime"`
	Expires   time.Time `json:"expirationDateTime"`
	// State is read, dismissed, deleted, expired or active.
	State string `json:"state"`
	// Steps are in order of time.
	Steps []step `json:"timeline"`
	// LeftOut are the user's present endpoints that were not to ring.
	LeftOut []leftOut `json:"notPlanned,omitempty"`
	// Open is how many deliveries have no terminal outcome.
	Open int `json:"open"`
}

// step is one thing that happened, or is waited for. The fields from Endpoint on
// are those of a delivery's steps.
type step struct {
	// AfterMS is milliseconds since it was accepted.
	AfterMS int64 `json:"afterMs"`
	// Step is accepted, journalled, planned, parked, handed, answered,
	// suppressed, expired, waiting, fetched, opened, cleared, and what the user did:
	// read, dismissed, deleted or changed.
	Step     string `json:"step"`
	Endpoint string `json:"endpoint,omitempty"`
	Platform string `json:"platform,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Status   uint16 `json:"status,omitempty"`
	Attempts uint8  `json:"attempts,omitempty"`
	// Waits is due or parked, Vendor why its vendor is shut, Until when the next
	// attempt is.
	Waits  string     `json:"waits,omitempty"`
	Vendor string     `json:"vendor,omitempty"`
	Until  *time.Time `json:"nextAttemptDateTime,omitempty"`
}

// leftOut is an endpoint that was not to ring.
type leftOut struct {
	Endpoint string `json:"endpoint"`
	Platform string `json:"platform"`
	Reason   string `json:"reason"`
}

// known is what there is to tell a notification's story from.
type known struct {
	item      *carillon.Item
	endpoints []carillon.Endpoint
	sync      carillon.Sync
	// lanes tells why a vendor is shut and when it is tried; nil when nobody knows.
	lanes func(carillon.Lane) (why string, until int64)
}

// explain tells an item's story at now (milliseconds since 1970).
func explain(u carillon.User, id carillon.ID, k *known, now int64) report {
	it := k.item
	r := report{
		User: u.Key(), ID: id.String(), Position: it.Created.String(), Partition: it.Partition,
		Accepted: time.UnixMilli(it.Accepted).UTC(), Expires: time.UnixMilli(it.Expires).UTC(), State: state(it, now),
	}
	add := func(at int64, s step) {
		if at != 0 {
			s.AfterMS = at - it.Accepted
			r.Steps = append(r.Steps, s)
		}
	}
	add(it.Accepted, step{Step: "accepted"})
	add(it.Journalled, step{Step: "journalled"})
	add(it.Planned, step{Step: "planned"})
	if done := state(it, it.Accepted); done != "active" || it.State.Changed != 0 {
		add(it.State.Changed, step{Step: strings.Replace(done, "active", "changed", 1)})
	}
	var note carillon.Notification
	if it.Body != nil {
		_ = journal.DecodeNotification(it.Body, &note) // what cannot be read names no platforms
	}
	for _, f := range carillon.Fates(it, &note, k.endpoints, &k.sync, now) {
		if f.Delivery == nil {
			r.LeftOut = append(r.LeftOut, leftOut{Endpoint: f.Endpoint.ID, Platform: f.Endpoint.Platform.String(), Reason: f.Why})
			continue
		}
		r.delivery(u, it, &f, k.lanes, add)
	}
	slices.SortStableFunc(r.Steps, func(a, b step) int { return cmp.Compare(a.AfterMS, b.AfterMS) })
	return r
}

// delivery adds what happened at one endpoint.
func (r *report) delivery(u carillon.User, it *carillon.Item, f *carillon.Fate, lanes func(carillon.Lane) (string, int64), add func(int64, step)) {
	d := f.Delivery
	of := func(name string) step {
		return step{Step: name, Endpoint: d.Endpoint, Platform: d.Platform.String(), Kind: d.Kind.String(), Attempts: d.Attempts}
	}
	add(d.Parked, of("parked"))
	add(d.Handed, of("handed"))
	s := of("answered")
	s.Outcome, s.Reason, s.Status = d.Outcome.Class.String(), d.Outcome.Reason, d.Outcome.Status
	at := cmp.Or(d.Answered, d.Handed, it.Planned, it.Accepted)
	switch class := d.Outcome.Class; {
	case !class.Terminal():
		r.Open++
		s.Step = "waiting"
		if d.Hint != carillon.HintNone {
			s.Waits = d.Hint.String()
		}
		until := d.Due
		if d.Hint == carillon.HintParked && lanes != nil {
			s.Vendor, until = lanes(carillon.Lane{Platform: d.Platform, Host: u.Host})
		}
		if until != 0 {
			t := time.UnixMilli(until).UTC()
			s.Until = &t
		}
		at = max(at, d.Parked)
	case class == carillon.Suppressed:
		s.Step = "suppressed"
		if why, _ := it.State.Handled(); why == d.Outcome.Reason && it.State.Changed != 0 {
			at = max(at, it.State.Changed)
		}
	case class == carillon.Expired:
		s.Step = "expired"
	}
	add(at, s)
	add(f.Fetched, of("fetched"))
	add(d.Opened, of("opened"))
	add(f.Cleared, of("cleared"))
}

func state(it *carillon.Item, now int64) string {
	switch {
	case it.State.Deleted:
		return "deleted"
	case it.Expires <= now:
		return "expired"
	case it.State.Action == carillon.Dismissed:
		return "dismissed"
	case it.State.Read:
		return "read"
	default:
		return "active"
	}
}

// write is the report for people.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "notification %s\n", r.ID)
	fmt.Fprintf(w, "  for %s, %s, expires %s\n", r.User, r.State, r.Expires.Format(time.RFC3339))
	fmt.Fprintf(w, "  accepted %s, partition %d, position %s\n", r.Accepted.Format(time.RFC3339Nano), r.Partition, r.Position)
	planned := false
	for _, s := range r.Steps {
		planned = planned || s.Step == "planned"
		fmt.Fprintf(w, "  %6d ms  %-10s", s.AfterMS, s.Step)
		if s.Endpoint != "" {
			fmt.Fprintf(w, "  %-8s %-8s %s", s.Platform, s.Kind, s.Endpoint)
		}
		s.writeOutcome(w)
		fmt.Fprintln(w)
	}
	switch deliveries := slices.ContainsFunc(r.Steps, func(s step) bool { return s.Endpoint != "" }); {
	case planned && !deliveries:
		fmt.Fprintln(w, "  no endpoint was to ring: the user has none that is alive and wanted it; it is history")
	case r.Open > 0:
		fmt.Fprintf(w, "  %d still open\n", r.Open)
	}
	for _, e := range r.LeftOut {
		fmt.Fprintf(w, "  not to ring: %-8s %s: %s\n", e.Platform, e.Endpoint, leftOutText(e.Reason))
	}
}

// writeOutcome ends a line with what came of it.
func (s *step) writeOutcome(w io.Writer) {
	if s.Outcome == "" {
		return
	}
	fmt.Fprintf(w, ": %s", s.Outcome)
	if s.Status != 0 {
		fmt.Fprintf(w, " (%d)", s.Status)
	}
	if s.Reason != "" {
		fmt.Fprintf(w, " %s", s.Reason)
	}
	if s.Attempts > 1 {
		fmt.Fprintf(w, ", attempt %d", s.Attempts)
	}
	if s.Waits != "" {
		fmt.Fprintf(w, ", %s", s.Waits)
	}
	if s.Vendor != "" {
		fmt.Fprintf(w, ": its vendor is shut (%s)", s.Vendor)
	}
	if s.Until != nil {
		fmt.Fprintf(w, ", next attempt %s", s.Until.Format(time.RFC3339))
	}
}

// leftOutText says why an endpoint was not to ring.
func leftOutText(reason string) string {
	switch reason {
	case carillon.LeftOutLater:
		return "it registered later, and finds it in the history"
	case carillon.LeftOutPlatform:
		return "its platform was not meant"
	case carillon.LeftOutNoPush:
		return "it wants no push"
	case carillon.LeftOutPolling:
		return "no push reaches it; it comes and fetches"
	}
	return "its registration expired, or it was another one then"
}
