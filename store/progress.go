package store

import (
	"encoding/binary"

	"carillon"
)

// AppendProgress appends the row of a partition's progress.
func AppendProgress(dst []byte, p carillon.Progress) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, uint64(p.Applied))
	return binary.AppendUvarint(dst, uint64(p.Settled))
}

// DecodeProgress reads the progress of a partition.
func DecodeProgress(b []byte, partition int32) (carillon.Progress, error) {
	r := reader{b: b}
	r.format()
	p := carillon.Progress{Partition: partition, Applied: carillon.Seq(r.uvarint()), Settled: carillon.Seq(r.uvarint())}
	return p, r.err("progress")
}
