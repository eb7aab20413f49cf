//go:build acceptance

package acceptance_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	sequences = 250 // that one process serves
	plantedIn = 150 // sequences, of which one must notice a planted fault
)

// TestNothingResurrects plays random scripts of households against the running
// binary, which is killed meanwhile: no device ends in a state older than its
// user's, and nothing that was handled is shown again, whatever is sent, replaced,
// read, dismissed, deleted, registered, handed to another, and tried again.
//
// CARILLON_SEQUENCES (200) is how many; `make torture` plays 5,000. CARILLON_SEED
// repeats the scripts, CARILLON_SCRIPT plays one that a failed run printed; what
// it found once stands in testdata/scripts and is played each time.
func TestNothingResurrects(t *testing.T) {
	if text := os.Getenv("CARILLON_SCRIPT"); text != "" {
		s, err := parseScript(text)
		if err != nil {
			t.Fatal(err)
		}
		tells(t, resurrects(t, binary, slices.Repeat([]script{s}, number(t, "CARILLON_SEQUENCES", 20)), townPatience))
		return
	}
	n, random := number(t, "CARILLON_SEQUENCES", 200), dice(t)
	all := kept(t)
	for draw := scripts(); len(all) < n; {
		all = append(all, draw.Example(int(random.Uint64()>>1)))
	}
	for part := range slices.Chunk(all, sequences) {
		tells(t, resurrects(t, binary, part, townPatience))
	}
}

// TestPlantedResurrection is the test of that test: of a binary that does not ask
// the user's state when it hands off, it must find out.
func TestPlantedResurrection(t *testing.T) {
	bin := filepath.Join(caches, "bin", "carillon-unsuppressed")
	cmd := exec.Command("go", "build", "-tags", "plantunsuppressed", "-buildvcs=false", "-o", bin, "./cmd/carillon")
	cmd.Dir = ".."
	if r := finish(t, cmd); r.code != 0 {
		t.Fatalf("building carillon without suppression: %s%s", r.stdout, r.stderr)
	}
	all := kept(t)
	for random, draw := dice(t), scripts(); len(all) < plantedIn; {
		all = append(all, draw.Example(int(random.Uint64()>>1)))
	}
	wrong := resurrects(t, bin, all, 2*time.Second)
	t.Logf("%d of %d sequences found it", len(wrong), len(all))
	if len(wrong) == 0 {
		t.Error("nothing was suppressed, and no sequence noticed")
	}
	for _, faults := range wrong {
		t.Logf("one: %s", faults[0])
		break
	}
}

// kept are scripts that found something once.
func kept(t *testing.T) (all []script) {
	t.Helper()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			s, err := parseScript(line)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, s)
		}
	}
	return all
}

// resurrects plays scripts against a binary and gives what was wrong afterwards.
func resurrects(t *testing.T, bin string, all []script, patience time.Duration) map[*household][]string {
	t.Helper()
	begin := time.Now()
	w := newTown(t, bin)
	hs := make([]*household, len(all))
	steps := map[string]int{}
	for i, s := range all {
		hs[i] = newHousehold(w, fmt.Sprintf("h%d", i), s)
		for _, a := range s {
			steps[a.do]++
		}
	}
	w.plays(hs)
	played := time.Since(begin)
	w.quiet()
	quiet := time.Since(begin)
	wrong := w.judge(hs, patience)
	t.Logf("%d sequences, %d requests (%d again), %d kills, %d restarts: played in %v, quiet after %v, judged after %v",
		len(all), w.asked.Load(), w.again.Load(), w.killed.Load(), w.restarted.Load(), played.Round(time.Millisecond), quiet.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	var kinds []string
	for _, do := range slices.Sorted(maps.Keys(steps)) {
		kinds = append(kinds, fmt.Sprint(do, " ", steps[do]))
	}
	t.Logf("steps: %s", strings.Join(kinds, ", "))
	w.now.stop(t)
	return wrong
}

// tells fails the test for sequences that ended wrong.
func tells(t *testing.T, wrong map[*household][]string) {
	t.Helper()
	for h, faults := range wrong {
		t.Errorf("%s:\n  %s\nagain with: CARILLON_SCRIPT='%s'", h.name, strings.Join(faults, "\n  "), h.script)
	}
	if len(wrong) > 0 {
		t.FailNow()
	}
}
