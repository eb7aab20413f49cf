package pebble

import (
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"carillon"
	"carillon/store"
)

// EndedConfig is of the log of outcomes. The zero value is good.
type EndedConfig struct {
	// Off keeps no log.
	Off bool `yaml:"off"`
	// Keep is how long entries are kept; 0 is seven days.
	Keep time.Duration `yaml:"keep"`
	// MaxBytes bounds what the logs of all partitions take on the disk; 0 is
	// 4 GiB, about a hundred million outcomes. The oldest go first.
	MaxBytes int64 `yaml:"maxBytes"`
}

const (
	defaultEndedKeep = 7 * 24 * time.Hour
	defaultEndedMost = 4 << 30
	leastEndedMost   = 1 << 20
	// endedEvery is how often Run looks whether the logs are too long.
	endedEvery = 10 * time.Second
)

func (c EndedConfig) withDefaults() EndedConfig {
	if c.Keep <= 0 {
		c.Keep = defaultEndedKeep
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultEndedMost
	}
	c.MaxBytes = max(c.MaxBytes, leastEndedMost)
	return c
}

// endedLogs knows the logs of outcomes by partition.
type endedLogs struct {
	cfg EndedConfig

	mu   sync.Mutex
	logs map[int32]*endedLog
}

// endedLog is what is known of one partition's log. Batches that are committed
// at the same time get their numbers before, so a reader goes no further than
// to the lowest that is not there yet.
type endedLog struct {
	from    uint64   // nothing below is kept
	next    uint64   // the lowest number that the next row may get
	writing []uint64 // given out and not committed, ascending
}

// end is above everything that can be read.
func (l *endedLog) end() uint64 {
	if len(l.writing) > 0 {
		return l.writing[0]
	}
	return l.next
}

// open finds a partition's log; mu is held.
func (s *Store) endedLog(partition int32) (*endedLog, error) {
	if l := s.ended.logs[partition]; l != nil {
		return l, nil
	}
	l := &endedLog{from: 1, next: 1}
	row, err := get(s.db, store.AppendEndedKey(nil, partition, 0))
	if err == nil && row != nil {
		l.from, err = store.DecodeEndedFrom(row)
	}
	if err != nil {
		return nil, err
	}
	prefix := store.AppendPartitionKey(nil, store.KindEnded, partition)
	last, ok, err := s.lastEnded(partition, store.Above(prefix))
	if err != nil {
		return nil, err
	}
	if l.next = l.from; ok {
		l.next = max(l.next, last+1)
	}
	s.ended.logs[partition] = l
	return l, nil
}

// lastEnded is the number of a partition's last row below a key.
func (s *Store) lastEnded(partition int32, below []byte) (row uint64, ok bool, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: store.AppendEndedKey(nil, partition, 1), UpperBound: below})
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, false, it.Error()
	}
	_, row, ok = store.ReadEndedKey(it.Key())
	if !ok {
		return 0, false, store.ErrRow
	}
	return row, true, nil
}

// endedRun is the row that a batch writes into one partition's log.
type endedRun struct {
	partition int32
	row       uint64
	used      bool
	store.EndedRun
}

// enders writes what a batch ended: one row for each partition.
func (w *writer) enders(rows []carillon.EndedRow) error {
	if len(rows) == 0 || w.s.ended.cfg.Off {
		return nil
	}
	now := w.s.clock.UnixMilli()
	var run *endedRun
	for i := range rows {
		p := rows[i].Item.Partition
		if run == nil || run.partition != p {
			run = w.run(p, now)
		}
		run.Add(&rows[i])
	}
	if err := w.s.numberEnded(w.runs, now); err != nil {
		return err
	}
	for i := range w.runs {
		if run := &w.runs[i]; run.used {
			w.key = store.AppendEndedKey(w.key[:0], run.partition, run.row)
			if err := w.b.Set(w.key, run.Value, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// run is the batch's run of a partition.
func (w *writer) run(partition int32, now int64) *endedRun {
	i := slices.IndexFunc(w.runs, func(r endedRun) bool { return r.partition == partition })
	if i < 0 {
		i = len(w.runs)
		w.runs = append(w.runs, endedRun{partition: partition})
	}
	run := &w.runs[i]
	if !run.used {
		run.used = true
		run.Begin(now)
	}
	return run
}

// numberEnded gives the rows of a batch their numbers, which follow the time:
// so a reader's place is never given out again, even when the rows before it
// were lost with the power.
func (s *Store) numberEnded(runs []endedRun, now int64) error {
	s.ended.mu.Lock()
	defer s.ended.mu.Unlock()
	for i := range runs {
		run := &runs[i]
		if !run.used {
			continue
		}
		l, err := s.endedLog(run.partition)
		if err != nil {
			return err
		}
		run.row = max(l.next, store.EndedRowAt(now))
		l.next = run.row + 1
		l.writing = append(l.writing, run.row)
	}
	return nil
}

// endedWritten lets readers see the rows of a batch that is committed, or will
// never be.
func (w *writer) endedWritten() {
	if len(w.runs) == 0 {
		return
	}
	e := &w.s.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range w.runs {
		run := &w.runs[i]
		if l := e.logs[run.partition]; l != nil && run.used {
			if at := slices.Index(l.writing, run.row); at >= 0 {
				l.writing = slices.Delete(l.writing, at, at+1)
			}
		}
		run.used = false
	}
}

// EndedKept tells from where on a partition's log of outcomes is kept, and
// where it ends now. Rows at the end and beyond come later.
func (s *Store) EndedKept(partition int32) (from, end uint64, err error) {
	if err := s.enter(); err != nil {
		return 0, 0, err
	}
	defer s.leave()
	s.ended.mu.Lock()
	defer s.ended.mu.Unlock()
	l, err := s.endedLog(partition)
	if err != nil {
		return 0, 0, err
	}
	return l.from, l.end(), s.health.err()
}

// Ended calls fn for what stands in a partition's log of outcomes from a place
// on and below the row to, in order, until it returns false. The entry is fn's
// until then. Next is where to go on: before the entry that fn did not want, or
// at to.
func (s *Store) Ended(partition int32, from carillon.LogPlace, to uint64, fn func(e *carillon.Ended) bool) (next carillon.LogPlace, err error) {
	if err := s.enter(); err != nil {
		return from, err
	}
	defer s.leave()
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: store.AppendEndedKey(nil, partition, max(from.Row, 1)), UpperBound: store.AppendEndedKey(nil, partition, to),
	})
	if err != nil {
		return from, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return from, err
		}
		_, row, ok := store.ReadEndedKey(it.Key())
		if !ok {
			return from, store.ErrRow
		}
		skip := uint32(0)
		if row == from.Row {
			skip = from.Skip
		}
		stopped := false
		passed, err := store.DecodeEnded(value, partition, skip, func(e *carillon.Ended) bool {
			stopped = !fn(e)
			return !stopped
		})
		if err != nil {
			return from, err
		}
		if stopped {
			return carillon.LogPlace{Row: row, Skip: passed - 1}, s.health.err()
		}
	}
	if err := it.Error(); err != nil {
		return from, err
	}
	return carillon.LogPlace{Row: max(to, from.Row)}, s.health.err()
}
