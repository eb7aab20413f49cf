package carillon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"carillon"
)

func TestClockMoveWakesWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c carillon.Clock
		start := c.Now()
		day, month := c.NewTimer(24*time.Hour), c.NewTimer(30*24*time.Hour)
		defer month.Stop()
		c.Move(25 * time.Hour)
		synctest.Wait()
		select {
		case at := <-day.C:
			if at.Sub(start) < 24*time.Hour {
				t.Errorf("fired %s after the start", at.Sub(start))
			}
		default:
			t.Error("a timer of 24 h does not fire when the clock moves 25 h")
		}
		select {
		case <-month.C:
			t.Error("a timer of 30 days fired after 25 h")
		default:
		}
	})
}

func TestClockTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c carillon.Clock
		timer := c.NewTimer(time.Second)
		c.Move(-time.Minute)
		if err := c.Sleep(t.Context(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
		select {
		case <-timer.C:
			t.Error("fired although the clock was moved back")
		default:
		}
		timer.Reset(time.Second)
		<-timer.C
		timer.Reset(time.Second)
		timer.Stop()
		synctest.Wait()
		if err := c.Sleep(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		select {
		case <-timer.C:
			t.Error("fired although it was stopped")
		default:
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Sleep(ctx, time.Hour); err == nil {
			t.Error("Sleep outlasts its context")
		}
	})
}
