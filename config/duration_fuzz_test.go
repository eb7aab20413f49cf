package config_test

import (
	"testing"
	"time"

	"carillon/config"
)

// FuzzParseDuration: whatever is read prints as a duration that reads the same,
// and what Go's own parser reads without a sign is read alike.
func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"250ms", "1h30m", "31d", "1d12h", "+31d", "-2h", "106751d24h", "65535d", "d", "1.5d", "9223372036s", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := config.ParseDuration(text)
		if std, serr := time.ParseDuration(text); serr == nil && std > 0 && (err != nil || d != std) {
			t.Fatalf("%q: %v %v, time reads %v", text, d, err, std)
		}
		if err != nil {
			return
		}
		if again, err := config.ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q: %v, printed and read %v %v", text, d, again, err)
		}
	})
}
