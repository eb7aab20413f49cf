package carillon_test

import (
	"testing"

	"carillon"
)

// TestReplaced: a release is no replacement, and a scheduled version of what was
// there before is one.
func TestReplaced(t *testing.T) {
	key := carillon.ID{1}
	for name, c := range map[string]struct {
		item carillon.Item
		note carillon.Notification
		want bool
	}{
		"as it came":                      {carillon.Item{Created: 5, Content: 5, Journalled: 11}, carillon.Notification{Accepted: 10}, false},
		"scheduled, not due":              {carillon.Item{Created: 5, Content: 5, Journalled: 11, Scheduled: true}, carillon.Notification{Accepted: 10, DeliverAt: 90}, false},
		"released":                        {carillon.Item{Created: 5, Content: 9, Journalled: 11}, carillon.Notification{Accepted: 10, DeliverAt: 90}, false},
		"released at its own time":        {carillon.Item{Created: 5, Content: 9, Journalled: 10, ID: key}, carillon.Notification{Accepted: 10, DeliverAt: 90}, false},
		"released, with a key":            {carillon.Item{Created: 5, Content: 9, Journalled: 11, ID: key}, carillon.Notification{Accepted: 10, DeliverAt: 90}, false},
		"replaced":                        {carillon.Item{Created: 5, Content: 9, Journalled: 31, ID: key}, carillon.Notification{Accepted: 30}, true},
		"replaced by a scheduled one":     {carillon.Item{Created: 5, Content: 9, Journalled: 11, ID: key}, carillon.Notification{Accepted: 30, DeliverAt: 90}, true},
		"replaced by one due in the past": {carillon.Item{Created: 5, Content: 9, Journalled: 31, ID: key}, carillon.Notification{Accepted: 30, DeliverAt: 20}, true},
	} {
		if got := c.item.Replaced(&c.note); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
