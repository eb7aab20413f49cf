package bench

import "time"

// A bench measures real time, so this is where it asks for it.

func now() time.Time { return time.Now() } //nolint:forbidigo // measured, not waited for

func ticker(d time.Duration) *time.Ticker { return time.NewTicker(d) } //nolint:forbidigo // polls other processes
