package store

import (
	"encoding/binary"

	"carillon"
)

// AppendErasingKey appends the key of a user who is being erased.
func AppendErasingKey(dst []byte, partition int32, at carillon.Seq) []byte {
	return binary.BigEndian.AppendUint64(AppendPartitionKey(dst, KindErasing, partition), uint64(at))
}

// ReadErasing reads such a row; Expires is not in it.
func ReadErasing(key, value []byte) (row carillon.ErasedRow, ok bool) {
	partition, rest, ok := PartitionOf(key)
	if !ok || len(rest) != seqBytes {
		return row, false
	}
	row.Partition, row.Seq = partition, carillon.Seq(binary.BigEndian.Uint64(rest))
	row.User, ok = UserOf(string(value))
	return row, ok
}

// AppendUserPrefix appends what all rows of a user share within a generation.
func AppendUserPrefix(dst []byte, g Generation, u carillon.User) []byte {
	return appendUser(AppendGeneration(dst, g), u)
}
