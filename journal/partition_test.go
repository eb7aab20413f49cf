package journal_test

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"

	"carillon/journal"
)

// TestPartitionIsKafkas holds to the hashes of Kafka's own UtilsTest.testMurmur2.
func TestPartitionIsKafkas(t *testing.T) {
	const partitions = 1 << 16
	for key, hash := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		want := (hash & 0x7fffffff) % partitions
		if got := journal.Partition([]byte(key), partitions); got != want {
			t.Errorf("%q is in partition %d, Kafka's client says %d", key, got, want)
		}
	}
}

func TestPartitionAgreesWithKafkaGo(t *testing.T) {
	all := make([]int, 64)
	for i := range all {
		all[i] = i
	}
	for i := range 1000 {
		key := fmt.Appendf(nil, "app.example/%0*d", i%40, i)
		want := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, all...)
		if got := journal.Partition(key, len(all)); int(got) != want {
			t.Fatalf("%q is in partition %d, kafka-go says %d", key, got, want)
		}
	}
}
