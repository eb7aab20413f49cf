//go:build crashpoints

package dispatch

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Where this build can be made to die.
const (
	crashSettle  = "settle"  // rows are about to be written
	crashSettled = "settled" // rows are written, no position is
	crashReplay  = "replay"  // a record whose rows an earlier run wrote comes again
)

var passed atomic.Int64 //nolint:gochecknoglobals // counts over all shards; in no binary that is shipped

// crash kills this process, as kill -9 does, at the n-th time that it passes the
// point which CARILLON_CRASH names as "point:n".
func crash(point string) {
	at, count, ok := strings.Cut(os.Getenv("CARILLON_CRASH"), ":")
	if !ok || at != point {
		return
	}
	if n, err := strconv.ParseInt(count, 10, 64); err != nil || passed.Add(1) != n {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
