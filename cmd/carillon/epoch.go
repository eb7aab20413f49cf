package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"carillon"
)

// epochFile, in the data directory, holds the epoch of the embedded journal
// when it is not the first: a store that was restored goes on with an empty
// journal, whose seqs must lie above all that the store holds.
const epochFile = "journal.epoch"

// epochOf is the embedded journal's epoch: what the configuration says, unless
// the data directory is further.
func epochOf(data string, configured uint16) (uint16, error) {
	path := filepath.Join(data, epochFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return max(configured, 1), nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16)
	if err != nil || n < 1 || n > carillon.MaxEpoch {
		return 0, fmt.Errorf("%s does not hold an epoch (1 to %d): restore the data directory from a backup", path, carillon.MaxEpoch)
	}
	return max(configured, uint16(n)), nil
}

func writeEpoch(data string, epoch uint16) error {
	return writeSynced(filepath.Join(data, epochFile), []byte(strconv.Itoa(int(epoch))+"\n"))
}

// writeSynced makes a private file that is on the disk when it returns.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a directory safe from loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
