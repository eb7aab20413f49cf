// Package pebble is the embedded store, one directory of one process, on
// cockroachdb/pebble. Rows come in through [Store.Write], in atomic batches;
// users' endpoints, items, keyed requests and partitions' progress go out.
//
// Durability: a batch that Write returned from survives a crash of the process
// (it is in the write-ahead log, in the system's hands); a batch written with
// sync, and everything written before it, survives loss of power as well. Rows
// that hold nothing, or positions only, with sync make all former writes
// durable. Close syncs what is left.
//
// Expiry: a row is gone for readers the moment it expires. Rows stand in
// generations by their expiry, and [Store.Run] drops whole generations some
// time after all in them expired.
//
// After a fault of the disk under the log the store is done for: every call
// fails with the same error, Run returns it, and the process should end. What
// was synced is there at the next start.
package pebble
