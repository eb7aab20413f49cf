package dispatch

import (
	"fmt"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"carillon"
)

// metrics are the dispatcher's numbers as the operator sees them.
type metrics struct {
	fetched      *vm.Counter
	settled      *vm.Counter // of fetched, by batches
	planned      *vm.Counter
	handed       *vm.Counter
	retries      *vm.Counter
	released     *vm.Counter
	erased       *vm.Counter
	redriven     *vm.Counter
	duplicates   *vm.Counter
	undecodable  *vm.Counter
	unknownKinds *vm.Counter
	storeFaults  *vm.Counter
	cacheHits    *vm.Counter
	cacheMisses  *vm.Counter
	parked       *vm.Counter
	recalled     *vm.Counter
	shuts        *vm.Counter
	leaves       *vm.Counter
	leavesCapped *vm.Counter
	trimmed      *vm.Counter
	evictions    *vm.Counter
	clears       [carillon.Classes]*vm.Counter
	clearTook    *vm.Histogram
	rows         *vm.Counter
	lateRows     *vm.Counter
	writes       *vm.Histogram
	outcomes     [carillon.Platforms][carillon.Classes]*vm.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		fetched:      vm.GetOrCreateCounter("carillon_dispatch_records_fetched_total"),
		settled:      vm.GetOrCreateCounter("carillon_dispatch_records_settled_total"),
		planned:      vm.GetOrCreateCounter("carillon_dispatch_deliveries_planned_total"),
		handed:       vm.GetOrCreateCounter("carillon_dispatch_pushes_handed_total"),
		retries:      vm.GetOrCreateCounter("carillon_dispatch_retries_total"),
		erased:       vm.GetOrCreateCounter("carillon_dispatch_users_erased_total"),
		released:     vm.GetOrCreateCounter("carillon_dispatch_released_total"),
		redriven:     vm.GetOrCreateCounter("carillon_dispatch_deliveries_redriven_total"),
		duplicates:   vm.GetOrCreateCounter("carillon_dispatch_duplicate_requests_total"),
		undecodable:  vm.GetOrCreateCounter("carillon_dispatch_undecodable_records_total"),
		unknownKinds: vm.GetOrCreateCounter("carillon_dispatch_unknown_records_total"),
		storeFaults:  vm.GetOrCreateCounter("carillon_dispatch_store_faults_total"),
		cacheHits:    vm.GetOrCreateCounter(`carillon_dispatch_directory_lookups_total{result="hit"}`),
		cacheMisses:  vm.GetOrCreateCounter(`carillon_dispatch_directory_lookups_total{result="miss"}`),
		parked:       vm.GetOrCreateCounter("carillon_dispatch_deliveries_parked_total"),
		recalled:     vm.GetOrCreateCounter("carillon_dispatch_hints_recalled_total"),
		shuts:        vm.GetOrCreateCounter("carillon_dispatch_lane_shuts_total"),
		leaves:       vm.GetOrCreateCounter("carillon_dispatch_endpoints_gone_total"),
		leavesCapped: vm.GetOrCreateCounter("carillon_dispatch_endpoints_gone_over_cap_total"),
		trimmed:      vm.GetOrCreateCounter("carillon_dispatch_items_trimmed_total"),
		evictions:    vm.GetOrCreateCounter("carillon_dispatch_addresses_moved_total"),
		clearTook:    vm.GetOrCreateHistogram("carillon_dispatch_clear_seconds"),
		rows:         vm.GetOrCreateCounter(`carillon_dispatch_rows_total{kind="item"}`),
		lateRows:     vm.GetOrCreateCounter(`carillon_dispatch_rows_total{kind="outcome"}`),
		writes:       vm.GetOrCreateHistogram("carillon_dispatch_write_seconds"),
	}
	for c := range m.clears {
		m.clears[c] = vm.GetOrCreateCounter(fmt.Sprintf(`carillon_dispatch_clears_total{class=%q}`, carillon.Class(c)))
	}
	for p := range m.outcomes {
		for c := range m.outcomes[p] {
			if class := carillon.Class(c); class.Terminal() {
				m.outcomes[p][c] = vm.GetOrCreateCounter(fmt.Sprintf(`carillon_dispatch_outcomes_total{platform=%q,class=%q}`, carillon.Platform(p), class))
			}
		}
	}
	return m
}

func (m *metrics) clear(c carillon.Class) { m.clears[c].Inc() }

func (m *metrics) outcome(p carillon.Platform, c carillon.Class) { m.outcomes[p][c].Inc() }

func (m *metrics) flushed(rows *carillon.Rows, took time.Duration) {
	m.rows.Add(len(rows.Items))
	m.lateRows.Add(len(rows.Outcomes))
	m.writes.Update(took.Seconds())
}
