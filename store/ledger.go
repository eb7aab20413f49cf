package store

import (
	"encoding/binary"

	"carillon"
)

// AppendLedgerKey appends the key of the ledger row of a partition's range that
// begins at from.
func AppendLedgerKey(dst []byte, partition int32, from carillon.Seq) []byte {
	return binary.BigEndian.AppendUint64(AppendPartitionKey(dst, KindLedger, partition), uint64(from))
}

// ReadLedgerKey reads into row what stands in its key.
func ReadLedgerKey(key []byte, row *carillon.LedgerRow) bool {
	partition, rest, ok := PartitionOf(key)
	if !ok || PartitionKind(key[1]) != KindLedger || len(rest) != seqBytes {
		return false
	}
	row.Partition, row.From = partition, carillon.Seq(binary.BigEndian.Uint64(rest))
	return true
}

// AppendLedger appends a ledger row: format, expires, to − from, records,
// planned, open, then the number of terminal classes that are counted and for
// each its class and count.
func AppendLedger(dst []byte, row *carillon.LedgerRow) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendVarint(dst, row.Expires)
	dst = appendSeq(dst, row.To, row.From)
	for _, n := range [...]int64{row.Records, row.Planned, row.Open} {
		dst = binary.AppendVarint(dst, n)
	}
	return appendClasses(dst, &row.Terminal)
}

// DecodeLedger reads a row into row, whose Partition and From are those of the
// key already.
func DecodeLedger(b []byte, row *carillon.LedgerRow) error {
	r := reader{b: b}
	r.format()
	*row = carillon.LedgerRow{Partition: row.Partition, From: row.From}
	row.Expires = r.varint()
	row.To = r.seq(row.From)
	row.Records, row.Planned, row.Open = r.varint(), r.varint(), r.varint()
	r.classes(&row.Terminal)
	return r.err("ledger")
}

// LedgerExpires is when a ledger row expires, without decoding the rest.
func LedgerExpires(b []byte) (int64, error) {
	r := reader{b: b}
	r.format()
	expires := r.varint()
	return expires, r.err("ledger")
}
