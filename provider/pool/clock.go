package pool

import "time"

// Connections, their back-off and the waits of this package are about sockets
// and run on real time; only request deadlines follow Config.Conn.Now.

func realNow() time.Time {
	return time.Now() //nolint:forbidigo // connection back-off is real time
}

func newTimer(d time.Duration) *time.Timer {
	return time.NewTimer(d) //nolint:forbidigo // connection back-off is real time
}
