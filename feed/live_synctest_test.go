package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"carillon"
)

// gone is a reader whose connection ended.
type gone struct{ writes int }

func (g *gone) Write([]byte) (int, error) {
	g.writes++
	return 0, errors.New("the reader is gone")
}

// TestTappedBeforeItRuns: a change that comes between a stream's joining and its
// beginning does not hold it up for good.
func TestTappedBeforeItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{}.withDefaults()
		h, u := newHub(cfg), carillon.User{Host: "app.localhost", ID: "dev.alice"}
		s, err := h.join(u)
		if err != nil {
			t.Fatal(err)
		}
		h.tap(u.Hash(), carillon.Position{Seq: 1})
		l := &live{feed: &Feed{cfg: cfg, deps: Deps{Clock: &carillon.Clock{}}}, stream: s}
		var w gone
		l.run(context.Background(), &w)
		if w.writes != 1 {
			t.Errorf("it wrote %d times", w.writes)
		}
	})
}
