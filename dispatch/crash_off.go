//go:build !crashpoints

package dispatch

// Where a build with the tag crashpoints can be made to die.
const (
	crashSettle  = "settle"  // rows are about to be written
	crashSettled = "settled" // rows are written, no position is
	crashReplay  = "replay"  // a record whose rows an earlier run wrote comes again
)

// crash does nothing in the binary that is shipped.
func crash(string) {}
