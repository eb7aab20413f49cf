// Package store holds what every store shares: the keys of rows, the bytes of
// rows and the rules by which two versions of a row become one. Items,
// endpoints and outcomes come in as values of package carillon and go out as
// bytes, and back. It does no I/O, starts nothing and keeps no state.
//
// # Versions
//
// Lower never overwrites higher. Who makes the comparison depends on the row:
//
//   - item (with its id and feed rows, of which the feed's repeats the item), idem, floor, sync and owner: the writer. A user's rows are
//     written by one shard, in the order of the journal, so a record beyond
//     what was applied is newer by construction and nothing is read before the
//     write. A record that may be a replay is looked up first (Item, Find,
//     Idem) and not applied again.
//   - endpoint: the store. Registrations are rare; it reads the present row and
//     leaves it when its version is higher. Leaving writes a tombstone with the
//     version of the leave, which lives as long as what it hides.
//   - outcome: the store, by [Rank], without reading: the higher rank wins
//     whenever two versions meet, and of equal ranks the later one.
//   - due and parked: the writer. Their rows come and go in the batch that
//     changes the delivery that they wait for; taking away one that is not there
//     is no fault.
//   - ledger: nobody. It is absolute, so the later row of a range stands.
//   - progress: the store; both positions of a partition only grow.
//
// Reading is defended as well: should two versions of one row stand in two
// generations, the higher version counts, and only then its expiry.
//
// # State
//
// An item's row holds what was done with it one by one. What a user said of
// everything before a seq (his floor) is one row of his; reading works it into
// each item, so that nobody sees the difference.
package store
