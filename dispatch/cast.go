package dispatch

import (
	"strings"

	"carillon"
	"carillon/journal"
)

// castKey names a broadcast.
type castKey struct{ host, id string }

// castPart is what one row counts a broadcast by, beside the shard.
type castPart struct {
	k        *keeper
	host, id string
}

// castCount is what a shard has counted of a broadcast in a partition, with what
// is in the batch at hand.
type castCount struct {
	part    castPart
	counts  carillon.BroadcastCounts
	expires int64
	dirty   bool
	ended   int64 // of counts, so many are told to the meters
}

// castCounts bounds the counts that a shard keeps at hand; others are read anew.
const castCounts = 64

// cancel ends a delivery of a cancelled broadcast.
func (s *shard) cancel(d *delivery) { s.end(d, abandoned(d.row().Outcome, carillon.WhyCancelled)) }

// identifyCast is identify for a broadcast's notification: a user has one of each
// broadcast, whoever posts it again and whatever he did with it.
func (s *shard) identifyCast(r *resident, seq carillon.Seq, replay bool) (created carillon.Seq, old *carillon.Item, ok bool) {
	id := s.rec.Notification.ID
	for _, p := range r.keyed {
		if p.item.ID == id && p.item.Content != seq {
			s.d.metrics.duplicates.Inc()
			return 0, nil, false
		}
	}
	found := false
	s.must("find", func() (err error) {
		created, found, err = s.d.deps.Store.Find(r.user, id)
		return err
	})
	switch {
	case s.broken:
		return 0, nil, false
	case !found && !replay && s.d.steering(r.user.Host, s.rec.Notification.Broadcast).recalled():
		// It came behind the recall. In a replay it may have rung already: it is planned,
		// ends as cancelled, and is taken back.
		return 0, nil, false
	case !found:
		return seq, nil, true
	case created != seq:
		s.d.metrics.duplicates.Inc()
		return 0, nil, false
	}
	// Of a scheduled one the release may have come since, and its deletion.
	old = s.present(r, seq)
	return seq, old, old != nil && old.Content == seq
}

// count finds what the shard has counted of a broadcast. The strings may alias a
// batch.
func (s *shard) count(k *keeper, host, id string, expires int64) *castCount {
	c := s.casts[castPart{k, host, id}]
	if c == nil {
		c = &castCount{part: castPart{k, strings.Clone(host), strings.Clone(id)}}
		s.must("broadcast", func() (err error) {
			c.counts, err = s.d.deps.Store.ShardCounts(k.partition, host, id, uint8(s.index)) //nolint:gosec // at most 256 shards
			return err
		})
		c.ended = c.counts.Ended()
		if s.casts == nil {
			s.casts = make(map[castPart]*castCount)
		}
		s.casts[c.part] = c
	}
	c.expires = max(c.expires, expires)
	if !c.dirty {
		c.dirty = true
		s.counts = append(s.counts, c)
	}
	return c
}

// countPlanned counts a broadcast's notification, in the batch that writes its row
// or the one that stands for it.
func (s *shard) countPlanned(p *pending) {
	if p.note.Broadcast == "" {
		return
	}
	c := s.count(p.k, p.r.user.Host, p.note.Broadcast, p.item.Expires)
	c.counts.Planned += int64(len(p.item.Deliveries))
	if p.item.Content != p.item.Created { // released: it was counted when it was scheduled
		c.counts.Scheduled--
		return
	}
	c.counts.Notifications++
	if p.item.Scheduled {
		c.counts.Scheduled++
	}
	if !p.item.State.Deleted { // by now
		s.rows.Members = append(s.rows.Members, carillon.MemberRow{
			Partition: p.k.partition, Host: c.part.host, ID: c.part.id, Created: p.item.Created, UserID: p.r.user.ID, Expires: p.item.Expires,
		})
	}
}

// loses takes a user off those who have a broadcast's notification; one whose time
// has not come counts as scheduled no more.
func (s *shard) loses(k *keeper, u carillon.User, n *carillon.Notification, it *carillon.Item) {
	if n.Broadcast == "" || it.State.Deleted {
		return
	}
	s.rows.Members = append(s.rows.Members, carillon.MemberRow{Partition: it.Partition, Host: u.Host, ID: n.Broadcast, Created: it.Created, Done: true})
	if it.Scheduled {
		s.count(k, u.Host, n.Broadcast, it.Expires).counts.Scheduled--
	}
}

// countEnded counts a delivery that is over, in the batch that writes its outcome.
func (s *shard) countEnded(k *keeper, host string, n *carillon.Notification, it *carillon.Item, class carillon.Class) {
	if n.Broadcast != "" {
		s.count(k, host, n.Broadcast, it.Expires).counts.Terminal[class]++
	}
}

// countBody is countEnded for an item of which only its row is at hand.
func (s *shard) countBody(k *keeper, host string, it *carillon.Item, class carillon.Class) {
	var n carillon.Notification
	if len(it.Body) > 0 && journal.DecodeNotification(it.Body, &n) == nil {
		s.countEnded(k, host, &n, it, class)
	}
}

// countRows adds the rows of what was counted to the batch.
func (s *shard) countRows() {
	for i, c := range s.counts {
		s.rows.Broadcasts = append(s.rows.Broadcasts, carillon.BroadcastRow{
			Partition: c.part.k.partition, Host: c.part.host, ID: c.part.id, Shard: uint8(s.index), //nolint:gosec // at most 256 shards
			Counts: c.counts, Expires: c.expires,
		})
		if ended := c.counts.Ended(); ended != c.ended {
			s.d.meters.add(castKey{c.part.host, c.part.id}, ended-c.ended, s.now)
			c.ended = ended
		}
		c.dirty, s.counts[i] = false, nil
	}
	s.counts = s.counts[:0]
	if len(s.casts) > castCounts {
		clear(s.casts)
	}
}
