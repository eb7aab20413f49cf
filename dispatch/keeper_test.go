package dispatch

import (
	"strings"
	"testing"

	"carillon"
)

func TestResume(t *testing.T) {
	at := func(offset int64) carillon.Seq { return carillon.MakeSeq(1, offset) }
	f := func(settled, start, committed, end, want carillon.Seq, says string) {
		t.Helper()
		got, err := resume(carillon.Progress{Settled: settled}, start, committed, end)
		switch {
		case says == "" && (err != nil || got != want):
			t.Errorf("resumes at %s, %v; want %s", got, err, want)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n")):
			t.Errorf("resumes at %s, %v; want a line that says %q", got, err, says)
		}
	}
	f(0, at(0), 0, at(0), at(0), "")             // all new
	f(0, at(0), 0, at(9), at(0), "")             // written before the first dispatcher came
	f(0, at(5), 0, at(9), at(5), "")             // likewise, and trimmed
	f(0, at(0), at(0), at(3), at(0), "")         // an idle partition was committed
	f(at(7), at(0), at(7), at(9), at(7), "")     // the ordinary start
	f(at(9), at(0), at(7), at(9), at(9), "")     // killed before the commit
	f(at(9), at(9), at(9), at(9), at(9), "")     // trimmed to its end
	f(at(12), at(0), at(7), at(9), 0, "journal") // the journal was cut
	f(0, at(0), at(7), at(9), 0, "empty")        // the store is gone
	f(0, at(9), at(9), at(9), 0, "empty")        // likewise, of a trimmed journal
	f(at(5), at(0), at(7), at(9), 0, "Restore")  // the store is an old one
	next := carillon.MakeSeq(2, 0)
	f(at(7), next, 0, next, next, "") // a restored store begins a new journal
	f(at(7), next+3, next+3, next+9, 0, "Restore")
	if _, err := resume(carillon.Progress{Settled: at(5), Applied: at(7)}, next, 0, next); err == nil || !strings.Contains(err.Error(), "not settled") {
		t.Errorf("a journal is left before it is settled: %v", err)
	}
	if _, err := resume(carillon.Progress{Settled: at(5), Applied: at(12)}, at(0), at(5), at(9)); err == nil {
		t.Error("a journal that ends before what is applied is taken")
	}
}
