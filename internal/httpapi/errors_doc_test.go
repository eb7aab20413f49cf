package httpapi_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"

	"carillon"
	"carillon/internal/httpapi"
)

// TestErrorsAreDocumented holds docs/errors.md to the codes that there are, and
// to their statuses.
func TestErrorsAreDocumented(t *testing.T) {
	want := map[string]bool{
		// The protocol's own, which have no code of the glossary.
		fmt.Sprint("invalidRequest ", fasthttp.StatusRequestTimeout):               true,
		fmt.Sprint("requestTooLarge ", fasthttp.StatusRequestHeaderFieldsTooLarge): true,
	}
	for c := carillon.CodeInternal; c <= carillon.CodeFailedDependency; c++ {
		want[fmt.Sprint(c, " ", httpapi.StatusOf(c))] = true
	}
	if next := carillon.CodeFailedDependency + 1; next.String() != carillon.CodeInternal.String() {
		t.Errorf("%s stands behind the last code that this test knows", next)
	}
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[3] == "" || cells[4] == "" {
			t.Errorf("%s does not say when, or what to do", cells[1])
		}
		got[strings.Trim(cells[1], "`")+" "+cells[2]] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("docs/errors.md (-code +document):\n%s", diff)
	}
}
