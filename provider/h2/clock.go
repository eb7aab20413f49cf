package h2

import "time"

// Pings, write deadlines, dialling and back-off are about sockets and stay on
// real time; only request deadlines follow Config.Now.

func realNow() time.Time {
	return time.Now() //nolint:forbidigo // socket deadlines and pings are real time
}

func newTimer(d time.Duration) *time.Timer {
	return time.NewTimer(d) //nolint:forbidigo // socket deadlines and pings are real time
}
