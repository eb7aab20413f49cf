//go:build acceptance

package acceptance_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// binary is the path of the carillon that is tested, caches where fetched things
// stay. TestMain sets both.
var binary, caches string

// build finds or builds the binary. Under -race it is always built, with -race.
func build() error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	if caches = os.Getenv("CARILLON_BUILD"); caches == "" {
		caches = filepath.Join(root, "build")
	}
	if binary = os.Getenv("CARILLON_BIN"); binary != "" && !race {
		_, err := os.Stat(binary)
		return err
	}
	args := []string{"build"}
	binary = filepath.Join(caches, "bin", "carillon-acceptance")
	if race {
		binary += "-race"
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "-buildvcs=false", "-o", binary, "./cmd/carillon")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building carillon: %w\n%s", err, out)
	}
	return nil
}
