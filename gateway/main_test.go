package gateway_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for leaks. Two goroutines are fasthttp's own: its worker pool's
// cleaner ends after sleeping out its ten seconds, and the clock of its default
// Date header is one for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
