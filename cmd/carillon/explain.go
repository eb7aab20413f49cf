package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"carillon"
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
	// Open is how many deliveries have no terminal outcome.
	Open int `json:"open"`
}

// step is one thing that happened. The fields from Endpoint on are those of a
// delivery's steps.
type step struct {
	// AfterMS is milliseconds since it was accepted.
	AfterMS int64 `json:"afterMs"`
	// Step is accepted, journalled, planned, handed, answered or waiting.
	Step     string `json:"step"`
	Endpoint string `json:"endpoint,omitempty"`
	Platform string `json:"platform,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Status   uint16 `json:"status,omitempty"`
	Attempts uint8  `json:"attempts,omitempty"`
}

// explain tells an item's story at now (milliseconds since 1970).
func explain(u carillon.User, id carillon.ID, it *carillon.Item, now int64) report {
	r := report{
		User: u.Key(), ID: id.String(), Position: it.Created.String(), Partition: it.Partition,
		Accepted: time.UnixMilli(it.Accepted).UTC(), Expires: time.UnixMilli(it.Expires).UTC(), State: state(it, now),
	}
	add := func(at int64, s step) {
		s.AfterMS = at - it.Accepted
		r.Steps = append(r.Steps, s)
	}
	add(it.Accepted, step{Step: "accepted"})
	if it.Journalled != 0 {
		add(it.Journalled, step{Step: "journalled"})
	}
	if it.Planned != 0 {
		add(it.Planned, step{Step: "planned"})
	}
	for i := range it.Deliveries {
		d := &it.Deliveries[i]
		s := step{Endpoint: d.Endpoint, Platform: d.Platform.String(), Kind: d.Kind.String(), Attempts: d.Attempts}
		if d.Handed != 0 {
			s.Step = "handed"
			add(d.Handed, s)
		}
		s.Outcome, s.Reason, s.Status = d.Outcome.Class.String(), d.Outcome.Reason, d.Outcome.Status
		s.Step = "answered"
		if !d.Outcome.Class.Terminal() {
			s.Step = "waiting"
			r.Open++
		}
		add(cmp.Or(d.Answered, d.Handed, it.Planned, it.Accepted), s)
	}
	slices.SortStableFunc(r.Steps, func(a, b step) int { return cmp.Compare(a.AfterMS, b.AfterMS) })
	return r
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
		if s.Outcome != "" {
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
		}
		fmt.Fprintln(w)
	}
	switch deliveries := slices.ContainsFunc(r.Steps, func(s step) bool { return s.Endpoint != "" }); {
	case planned && !deliveries:
		fmt.Fprintln(w, "  no endpoint was to ring: the user has none that is alive and wanted it; it is history")
	case r.Open > 0:
		fmt.Fprintf(w, "  %d still open\n", r.Open)
	}
}
