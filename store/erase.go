package store

import (
	"encoding/binary"

	"carillon"
)

// AppendErasingKey appends the key of a user who is being erased.
func AppendErasingKey(dst []byte, partition int32, at carillon.Seq) []byte {
	return binary.BigEndian.AppendUint64(AppendPartitionKey(dst, KindErasing, partition), uint64(at))
}

// AppendErasing appends the row of a user who is being erased: format, user, then
// for each of his addresses its hash (16) and the version of its registration.
func AppendErasing(dst []byte, row *carillon.ErasedRow) []byte {
	dst = appendString(append(dst, rowFormat), row.User.Key())
	for i := range row.Addresses {
		dst = append(dst, row.Addresses[i].Address[:]...)
		dst = binary.BigEndian.AppendUint64(dst, uint64(row.Addresses[i].Version))
	}
	return dst
}

// ReadErasing reads such a row; Expires is not in it.
func ReadErasing(key, value []byte) (row carillon.ErasedRow, ok bool) {
	partition, rest, ok := PartitionOf(key)
	if !ok || len(rest) != seqBytes {
		return row, false
	}
	row.Partition, row.Seq = partition, carillon.Seq(binary.BigEndian.Uint64(rest))
	r := reader{b: value}
	r.format()
	user := r.string()
	for len(r.b) > 0 {
		var a carillon.VacatedAddress
		copy(a.Address[:], r.bytes(len(a.Address)))
		if version := r.bytes(seqBytes); version != nil {
			a.Version = carillon.Seq(binary.BigEndian.Uint64(version))
			row.Addresses = append(row.Addresses, a)
		}
	}
	if row.User, ok = UserOf(user); r.bad {
		ok = false
	}
	return row, ok
}

// AppendUserPrefix appends what all rows of a user share within a generation.
func AppendUserPrefix(dst []byte, g Generation, u carillon.User) []byte {
	return appendUser(AppendGeneration(dst, g), u)
}
