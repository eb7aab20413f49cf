package journal

import (
	"encoding/binary"
	"strconv"
)

// Partition is the partition of a key among so many, as Kafka's Java client
// chooses it (org.apache.kafka.common.utils.Utils.murmur2), so that foreign
// producers and tools agree with us.
func Partition(key []byte, partitions int) int32 {
	return int32(murmur2(key)&0x7fffffff) % int32(partitions) //nolint:gosec // 31 bits, and partition counts fit 16
}

// KeyIn is a key of no user that goes to a partition of so many: for records that
// are about the partition itself.
func KeyIn(partition int32, partitions int) []byte {
	for n := 0; ; n++ {
		if key := strconv.AppendInt([]byte("partition-"), int64(n), 10); Partition(key, partitions) == partition {
			return key
		}
	}
}

// murmur2 is 32-bit MurmurHash2 with the seed of Kafka's Java client.
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := seed ^ uint32(len(data)) //nolint:gosec // Kafka keys are far shorter
	for len(data) >= 4 {
		k := binary.LittleEndian.Uint32(data) * m
		k ^= k >> r
		h = h*m ^ k*m
		data = data[4:]
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
