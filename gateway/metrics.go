package gateway

import (
	"fmt"

	vm "github.com/VictoriaMetrics/metrics"

	"carillon/journal"
)

// ingress are the gateway's numbers as the operator sees them; requests by
// route, status and time are counted by the server.
type ingress struct {
	notifications *vm.Counter
	endpoints     *vm.Counter
	leaves        *vm.Counter
	changes       *vm.Counter
	acks          *vm.Counter
	erased        *vm.Counter
	failed        *vm.Counter
	repeats       *vm.Counter
	badLines      *vm.Counter
	overQuota     *vm.Counter
	appends       *vm.Histogram
	bulkLines     *vm.Histogram
}

func newIngress() *ingress {
	records := func(k journal.Kind) *vm.Counter {
		return vm.GetOrCreateCounter(fmt.Sprintf("carillon_ingress_records_total{kind=%q}", k))
	}
	return &ingress{
		notifications: records(journal.KindNotification),
		endpoints:     records(journal.KindEndpoint),
		leaves:        records(journal.KindLeave),
		changes:       records(journal.KindChange),
		acks:          records(journal.KindAck),
		erased:        records(journal.KindErase),
		failed:        vm.GetOrCreateCounter("carillon_ingress_records_failed_total"),
		repeats:       vm.GetOrCreateCounter("carillon_ingress_repeats_total"),
		overQuota:     vm.GetOrCreateCounter("carillon_ingress_over_quota_total"),
		badLines:      vm.GetOrCreateCounter("carillon_ingress_bulk_lines_refused_total"),
		appends:       vm.GetOrCreateHistogram("carillon_ingress_append_seconds"),
		bulkLines:     vm.GetOrCreateHistogram("carillon_ingress_bulk_lines"),
	}
}
