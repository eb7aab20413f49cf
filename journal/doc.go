// Package journal is the log between the doors and the shards: everything that
// changes something about a user is one [Record] in that user's partition of a
// Kafka topic.
//
// What comes in are records, as [Entry] values of key and encoded bytes, from
// whoever accepts something; what goes out are whole batches of them, in order
// per key, to whoever holds a [Claim] on the partition. kafka-go carries the
// protocol; the record codec, the record batches, the idempotent [Writer] and
// the fetch loop are ours.
//
// Promised when stopped: [Writer.Run] sends what was appended before it
// returns (or tells the caller of Append that the outcome is unknown);
// [Group.Run] ends the contexts of its consumers, waits for them, lets them
// commit and leaves the group. Neither leaves a goroutine or a connection.
package journal
