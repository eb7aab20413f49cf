package auth

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const masterBytes = 32

// Master is the one secret of an installation. Every other key derives from it
// by HKDF-SHA256 (RFC 5869) under a label of its own.
type Master struct{ key [masterBytes]byte }

// NewMaster wraps a key that is at hand.
func NewMaster(key [masterBytes]byte) *Master { return &Master{key: key} }

// RandomMaster makes a new key that is kept nowhere.
func RandomMaster() *Master {
	m := &Master{}
	_, _ = rand.Read(m.key[:]) // never fails since Go 1.24
	return m
}

// LoadMaster reads the key file: 32 bytes that nobody but owner and group may
// read. With create a missing one is made, readable by its owner only.
func LoadMaster(path string, create bool) (*Master, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return createMaster(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the master key file %s does not exist: copy it from the installation that made it, or make one with: head -c 32 /dev/urandom > %s && chmod 600 %s", path, path, path)
	case err != nil:
		return nil, fmt.Errorf("the master key file cannot be read: %w", err)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("the master key file %s is open to every user of this machine (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the master key file cannot be read: %w", err)
	}
	if len(b) != masterBytes {
		return nil, fmt.Errorf("the master key file %s holds %d bytes instead of %d: restore it from a backup; a new key would make tokens, subscription ids and sealed credentials invalid", path, len(b), masterBytes)
	}
	m := &Master{}
	copy(m.key[:], b)
	return m, nil
}

// createMaster writes a new key whole or not at all: a link never replaces a
// key that another process made in the meantime.
func createMaster(path string) (*Master, error) {
	m := RandomMaster()
	f, err := os.CreateTemp(filepath.Dir(path), ".master-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("no master key can be made at %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(m.key[:])
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return nil, fmt.Errorf("no master key can be made at %s: %w", path, err)
	}
	switch err = os.Link(f.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return LoadMaster(path, false)
	case err != nil:
		return nil, fmt.Errorf("no master key can be made at %s: %w", path, err)
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return m, nil
}

// Derive makes the key for a label. The same master and label give the same
// key; one says nothing about another.
func (m *Master) Derive(label string) [32]byte {
	var out [32]byte
	b, err := hkdf.Key(sha256.New, m.key[:], nil, "carillon/"+label, len(out))
	if err != nil {
		panic("auth: " + err.Error()) // only for lengths above 8,160 bytes
	}
	copy(out[:], b)
	return out
}
