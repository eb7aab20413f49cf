package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes dir and takes it for this process: two brokers on one directory
// would tear each other's segments. The lock ends with the process, however it
// ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded broker: cannot make %s: %w; choose another data directory", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "carillon.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: cannot write to %s: %w; choose another data directory", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("embedded broker: %s is in use by another process (%w); stop it or choose another data directory", dir, err)
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	return b.lock.Close() // which also lets go of the lock
}
