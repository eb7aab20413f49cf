package httpapi_test

import (
	"testing"

	"carillon"
	"carillon/internal/httpapi"
)

// answering serves a constant behind a token, as a door does before it works.
func answering() func() int {
	s := httpapi.New(httpapi.Config{}, quiet(), &carillon.Clock{})
	body := []byte(`{"ok":true}`)
	s.Router().Handle("POST", "/beta/users/{id}/notifications", func(r *httpapi.Request) error {
		if _, err := r.Bearer(); err != nil {
			return err
		}
		r.JSON(201, body)
		return nil
	})
	return s.Answer("POST", "/beta/users/dev.alice/notifications", "Bearer x")
}

func TestServingAllocatesNothing(t *testing.T) {
	once := answering()
	// The race detector makes sync.Pool forget a quarter of what it is given.
	if n := testing.AllocsPerRun(1000, func() {
		if status := once(); status != 201 {
			t.Fatal(status)
		}
	}); n > 1 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkServe(b *testing.B) {
	once := answering()
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
