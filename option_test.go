package carillon_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon"
)

// TestOptionsAreDocumented: docs/platform-options.md has a line for every option
// of each platform, and for none that does not exist.
func TestOptionsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("docs/platform-options.md")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("`([A-Za-z-]+)`")
	for platform, options := range map[string][]carillon.Option{"apns": carillon.APNsOptions(), "fcm": carillon.FCMOptions(), "wns": carillon.WNSOptions()} {
		_, section, found := strings.Cut(string(b), "\n## "+platform+"\n")
		if !found {
			t.Fatalf("no section %s", platform)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		var documented []string
		for _, table := range strings.Split(section, "| option |")[1:] {
			for _, line := range strings.Split(table, "\n")[1:] {
				if !strings.HasPrefix(line, "|") {
					break
				}
				for _, m := range word.FindAllStringSubmatch(strings.SplitN(line, "|", 3)[1], -1) {
					documented = append(documented, m[1])
				}
			}
		}
		var known []string
		for _, o := range options {
			known = append(known, o.Name)
		}
		slices.Sort(documented)
		slices.Sort(known)
		if !slices.Equal(documented, known) {
			t.Errorf("%s:\ndocumented %v\nknown      %v", platform, documented, known)
		}
	}
}
