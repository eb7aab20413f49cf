package dispatch

import (
	"slices"

	"carillon"
	"carillon/journal"
)

// A push address that appears under another user must stop ringing for the old
// one. The registration's shard appends a claim under the address's hash, and
// the hash's owner an eviction to the user who had it before. Every registration
// claims, renewals too: the order of the claims, which is that of one partition,
// decides, whatever the order of the users' own records.

// joint is a record that counts as done when all its parts are: its rows are
// written, and what it caused is journalled.
type joint struct {
	win   *window
	r     *resident
	parts int
}

// part1 ends one part of a joint.
func (s *shard) part1(j *joint) {
	if j.parts--; j.parts > 0 {
		return
	}
	j.win.applied()
	j.win.settled()
	j.r.holds--
	s.leave(j.r)
}

// claimed appends the claim of a registration's address and ends the record when
// both are done.
func (s *shard) claimed(r *resident, rec record, e *carillon.Endpoint) {
	if e.Address == "" {
		s.done(r, rec)
		return
	}
	s.applied = append(s.applied, applied{win: rec.win, r: r, joint: s.claims1(r, rec, e, 2)})
	r.holds++ // for its rows
	s.soil()
}

// claims1 appends the claim of a registration's address: the last part of so many
// that the record waits for.
func (s *shard) claims1(r *resident, rec record, e *carillon.Endpoint, parts int) *joint {
	h := carillon.HashAddress(r.user.Host, e.Platform, e.Address)
	claim := journal.Record{Kind: journal.KindClaim, At: s.rec.At, Claim: journal.Claimed{
		Address: h[:], User: r.key, Installation: e.ID, Seq: e.Version,
	}}
	j := &joint{win: rec.win, r: r, parts: parts}
	r.holds++
	s.cause(&causing{joint: j, entry: journal.Entry{Key: []byte(h.String()), Value: claim.Append(nil)}})
	return j
}

// claim is an address's new owner until his row is written.
type claim struct {
	win     *window
	address carillon.AddressHash
	owner   carillon.Owner
	moved   int64
	written bool // its row is in the batch
}

// unkeyed applies a record that is no user's.
func (s *shard) unkeyed(rec record) {
	if s.broken {
		return
	}
	if err := s.rec.Decode(rec.f.Value); err == nil && s.rec.Kind == journal.KindErase { // a mark at which the journal began another file
		s.skip(rec)
		return
	}
	if err := s.rec.Decode(rec.f.Value); err != nil || s.rec.Kind != journal.KindClaim || !s.rec.Known() || len(s.rec.Claim.Address) != len(carillon.AddressHash{}) {
		s.d.metrics.undecodable.Inc()
		s.d.deps.Log.Error("a journal record of no user is passed over",
			"partition", rec.win.k.partition, "seq", rec.f.Seq.String(), "kind", s.rec.Kind.String(), "error", err)
		s.skip(rec)
		return
	}
	s.claim(rec)
}

// claim makes an address its claimant's; who had it before is evicted first, so
// that a crash in between finds the claim again.
func (s *shard) claim(rec record) {
	c := &claim{win: rec.win, address: carillon.AddressHash(s.rec.Claim.Address)}
	cur, ok := s.ownerOf(c.address)
	if !ok {
		return // the dispatcher stops
	}
	if s.rec.Claim.Installation == "" {
		s.vacate(rec, c, cur)
		return
	}
	var stale, evict bool
	c.owner, stale, evict = carillon.Claim(cur, carillon.Owner{
		User: string([]byte(s.rec.Claim.User)), Installation: string([]byte(s.rec.Claim.Installation)),
		Version: s.rec.Claim.Seq, Claimed: rec.f.Seq, Expires: s.rec.At + carillon.EndpointLife.Milliseconds(),
	})
	if stale {
		s.skip(rec)
		return
	}
	if cur != nil {
		c.moved = cur.Expires
	}
	s.claims[c.address] = c
	if !evict {
		s.owned(c)
		return
	}
	s.d.metrics.evictions.Inc()
	out := journal.Record{Kind: journal.KindEvict, At: s.now, Evict: journal.Evict{Installation: cur.Installation, Version: cur.Version}}
	s.cause(&causing{claim: c, entry: journal.Entry{Key: []byte(cur.User), Value: out.Append(nil)}})
}

// ownerOf is the present owner of an address, nil when it has none.
func (s *shard) ownerOf(h carillon.AddressHash) (cur *carillon.Owner, ok bool) {
	if c := s.claims[h]; c != nil {
		return &c.owner, true
	}
	ok = s.must("owner", func() error {
		o, found, err := s.d.deps.Store.Owner(h)
		if err == nil && found {
			cur = &o
		}
		return err
	})
	return cur, ok
}

// owned writes down an address's owner, unless a later claim has it by now.
func (s *shard) owned(c *claim) {
	if s.claims[c.address] == c {
		s.rows.Owners = append(s.rows.Owners, carillon.OwnerRow{Address: c.address, Owner: c.owner, Moved: c.moved})
		c.written = true
	}
	s.applied = append(s.applied, applied{win: c.win})
	s.soil()
}

// forgetClaims lets go of owners whose rows are written.
func (s *shard) forgetClaims() {
	for i := range s.rows.Owners {
		if c := s.claims[s.rows.Owners[i].Address]; c != nil && c.written {
			delete(s.claims, c.address)
		}
	}
}

// evict takes an endpoint away whose address another claimed, unless it was
// registered again since: then that registration's own claim decides.
func (s *shard) evict(r *resident, rec record) {
	i := r.entry.find(s.rec.Evict.Installation)
	if i < 0 || r.entry.endpoints[i].Version > s.rec.Evict.Version {
		s.skip(rec)
		return
	}
	s.remove1(r, rec, i)
}

// remove1 lets an endpoint go: its row becomes a tombstone.
func (s *shard) remove1(r *resident, rec record, i int) {
	gone := r.entry.endpoints[i]
	expires := gone.Expires
	gone.Version = rec.f.Seq
	s.rows.Endpoints = append(s.rows.Endpoints, carillon.EndpointRow{User: r.user, Endpoint: gone, Left: true, Moved: expires})
	s.change(r, slices.Delete(slices.Clone(r.entry.endpoints), i, i+1))
	s.done(r, rec)
}
