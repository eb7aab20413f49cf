// Package dispatch reads the journal and rings the bells.
//
// What comes in: the partitions of the journal that a group member owns
// ([journal.Claim]) and the vendors' answers. What goes out: pushes to the
// vendors, and rows to the store: items with their plans and outcomes,
// endpoints, requests already seen, and how far each partition is.
//
// A keeper owns one partition: it fetches, cuts what it fetched into one slice
// a shard, and keeps the two positions, applied and settled. A shard is one
// goroutine that owns a set of users (1,024 slots are dealt over the shards):
// it alone applies their records, plans their deliveries and writes their
// rows, so that none of that needs a lock. A lane is the queue to one vendor
// under one app's credential.
//
// When stopped, fetching ends first, answers still due are waited for (bounded
// by Config.DrainTimeout), what is known is written and synced, the positions
// are committed, and only then the lanes close. What had no answer by then is
// found again by the next start and handed off again: at least once, never
// lost.
package dispatch
