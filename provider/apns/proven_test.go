package apns_test

import (
	"fmt"
	"testing"
	"time"

	"carillon/provider/apns"
)

// TestProven: what took a push is known until so many came after it that the
// memory is full twice, few others are taken for known, and what is gone is not.
func TestProven(t *testing.T) {
	p := apns.NewProven()
	const n = 200_000
	name := func(i int) string { return fmt.Sprintf("%064x", i) }
	for i := range n {
		p.Add(name(i))
	}
	for i := n - 50_000; i < n; i++ {
		if !p.Has(name(i)) {
			t.Fatalf("token %d is forgotten", i)
		}
	}
	wrong := 0
	for i := n; i < 2*n; i++ {
		if p.Has(name(i)) {
			wrong++
		}
	}
	if share := float64(wrong) / n; share > 0.13 {
		t.Errorf("%.3f of new tokens are taken for known", share)
	}
	p.Remove(name(n - 1))
	if p.Has(name(n - 1)) {
		t.Error("a token that is gone is still known")
	}
}

// TestTurns: what finds no stream in quarantine comes back one after the other.
func TestTurns(t *testing.T) {
	var turns apns.Turns
	now := start()
	if d := turns.Next(now); d != 5*time.Second {
		t.Errorf("the first waits %v", d)
	}
	for range 49 {
		turns.Next(now)
	}
	if d := turns.Next(now); d != 6*time.Second {
		t.Errorf("the 51st waits %v", d)
	}
	for range 100_000 {
		if d := turns.Next(now); d > 5*time.Minute {
			t.Fatalf("one waits %v", d)
		}
	}
	if d := turns.Next(now.Add(time.Hour)); d != 5*time.Second {
		t.Errorf("an hour later one waits %v", d)
	}
}
