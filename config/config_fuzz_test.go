package config_test

import (
	"strings"
	"testing"

	"carillon/config"
)

// FuzzFile: whatever stands in a file, reading it ends without a panic, every
// problem names the file, and what was read prints as a file that reads the
// same.
func FuzzFile(f *testing.F) {
	f.Add(full)
	f.Add(apps)
	f.Add("gateway: {listen: \"\\u0000\", ratio: -0}\n")
	f.Add("labels: {\"a: b\": '# c', ? x : y}\n")
	f.Add("peers: [[[[[]]]]]")
	f.Add("peers: [~, {name: |\n  x\n}]")
	f.Fuzz(func(t *testing.T, text string) {
		var first sample
		_, problems := config.Fill(&first, config.Options{}, []byte(text))
		for _, p := range problems {
			if !strings.HasPrefix(p.Where, "test.yaml") || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		var printed, again strings.Builder
		if err := config.Show(&printed, &first, nil); err != nil {
			t.Fatal(err)
		}
		var second sample
		if _, problems := config.Fill(&second, config.Options{}, []byte(printed.String())); len(problems) > 0 {
			t.Fatalf("%v\nfrom\n%s", problems, printed.String())
		}
		if err := config.Show(&again, &second, nil); err != nil {
			t.Fatal(err)
		}
		if printed.String() != again.String() {
			t.Errorf("printed\n%s\nand again\n%s", printed.String(), again.String())
		}
	})
}
