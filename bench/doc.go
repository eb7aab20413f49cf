// Package bench measures the gateway as a whole, by its own front door: it
// starts `carillon sandbox` and `carillon serve` as processes of their own,
// feeds them, and reads what they cost from the operating system.
//
// What comes in is the size of a workload; what goes out is a [Report]: the
// rate, the CPU a notification by process and by stage, and the ratio to a peer
// in the same run. Every round is kept and printed; none is discarded silently.
// When stopped, the processes that it started are stopped and what they wrote
// is removed.
package bench
