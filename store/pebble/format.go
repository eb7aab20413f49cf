package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is the layout of directory, keys and rows that this code reads
// and writes.
const formatVersion = 1

// formatFile names the file that says what a directory holds, so that it can be
// told before anything in it is touched. One line:
// "carillon-store 1 generation=648000000ms".
const formatFile = "FORMAT"

const formatLimit = 256

// readFormat reads the format file; ok is false when there is none.
func readFormat(disk vfs.FS, dir string) (width time.Duration, ok bool, err error) {
	f, err := disk.Open(disk.PathJoin(dir, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, formatLimit))
	if err != nil {
		return 0, false, err
	}
	width, err = parseFormat(string(b))
	return width, true, err
}

// errNewer is a directory of a later version of this program.
var errNewer = errors.New("newer format")

// errTorn is a file that is not what it should be.
var errTorn = errors.New("damaged")

func parseFormat(line string) (time.Duration, error) {
	var version int
	if _, err := fmt.Sscanf(line, "carillon-store %d", &version); err != nil {
		return 0, fmt.Errorf("%w: %s is not readable", errTorn, formatFile)
	}
	if version > formatVersion {
		return 0, fmt.Errorf("%w %d, this program reads up to %d", errNewer, version, formatVersion)
	}
	_, value, _ := strings.Cut(line, "generation=")
	width, err := time.ParseDuration(strings.TrimSpace(value))
	if err != nil || width < time.Millisecond || !strings.HasSuffix(line, "\n") {
		return 0, fmt.Errorf("%w: %s is not readable", errTorn, formatFile)
	}
	return width, nil
}

// writeFormat makes the format file of a new directory, whole or not at all.
func writeFormat(disk vfs.FS, dir string, width time.Duration) error {
	path := disk.PathJoin(dir, formatFile)
	f, err := disk.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "carillon-store %d generation=%dms\n", formatVersion, width.Milliseconds())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = disk.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	d, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
