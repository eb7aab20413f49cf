package gateway_test

import (
	"strings"
	"testing"

	"carillon/gateway"
)

// TestImportWaste: what a small body may decode to without a line in it is
// bounded.
func TestImportWaste(t *testing.T) {
	r := newRig(t, gateway.Config{})
	for _, body := range []string{strings.Repeat("\n", 17<<20), strings.Repeat("x", 17<<20)} {
		r.refused(r.importing(body), 413, "", "blank lines")
	}
}
