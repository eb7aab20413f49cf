//go:build acceptance

package acceptance_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// told reads the stream of outcomes to its end, with an app's token: every
// delivery's end is told there once, whatever happened meanwhile. It counts them
// by class.
func (s *site) told(t *testing.T, token string) map[string]int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/api/v1/outcomes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	slow := *s.http
	slow.Timeout = time.Minute
	res, err := slow.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	type end struct{ ID, Endpoint, Kind string }
	seen, counts, twice := map[end]bool{}, map[string]int64{}, 0
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var l struct {
			end

			Outcome, Position string
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("outcomes: %d, %v: %s", res.StatusCode, err, lines.Bytes())
		}
		switch {
		case l.Position != "":
		case seen[l.end]:
			if twice++; twice < 4 {
				t.Errorf("told twice: %s", lines.Bytes())
			}
		default:
			seen[l.end] = true
			counts[l.Outcome]++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}
