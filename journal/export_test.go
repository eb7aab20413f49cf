package journal

import "github.com/segmentio/kafka-go"

// Sticky is the balancer with what a member held.
func Sticky(topic string, generation int32, held ...int) kafka.GroupBalancer {
	s := &sticky{topic: topic}
	s.hold(generation, held)
	return s
}

// DecodeBatches reads record batches from an offset on, as Fetch does.
func DecodeBatches(b []byte, offset int64) ([]Fetched, int64, error) {
	return decodeBatches(b, 1, offset, castagnoli())
}

// ParsePage reads a Fetch answer and gives its record batches.
func ParsePage(b []byte) ([]byte, error) {
	p, _, err := parsePage(b)
	return p.batches, err
}

// EncodeBatch is the batch that the writer would send for entries.
func EncodeBatch(entries []Entry, at int64) []byte {
	var b batch
	b.reset()
	w := &waiter{}
	for i := range entries {
		b.add(w, int32(i), entries[i].Key, entries[i].Value)
	}
	return b.stamp(castagnoli(), session{pid: 7, epoch: 1, seq: 42}, at)[sizePrefix:]
}

// WrapSession tells what follows a batch that ends at seq.
func WrapSession(seq int32, n int) (epoch int16, next int32) {
	s := session{pid: 1, epoch: 5, seq: seq}
	s.advance(n)
	return s.epoch, s.seq
}

// Judge tells what the writer does about an attempt's error, and whether the
// batch may have been appended in spite of it.
func Judge(err error) (verdict string, maybe bool) {
	return [...]string{again: "again", lost: "lost", broken: "broken", refused: "refused"}[judge(err)], mayHaveAppended(err)
}
