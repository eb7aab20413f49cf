package auth_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carillon/internal/auth"
)

func TestMasterFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := auth.LoadMaster(path, false); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Error(err)
	}
	var made [8]*auth.Master // processes that start at once agree on one key
	var starts sync.WaitGroup
	for i := range made {
		starts.Go(func() {
			var err error
			if made[i], err = auth.LoadMaster(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	for _, m := range made[1:] {
		if m.Derive("x") != made[0].Derive("x") {
			t.Error("two keys were made")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Error(info, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Error("temporary files are left:", left)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadMaster(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	if _, err := auth.LoadMaster(path, true); err == nil || !strings.Contains(err.Error(), "holds 4 bytes instead of 32") {
		t.Error(err)
	}
	if _, err := auth.LoadMaster(filepath.Join(path, "below"), true); err == nil {
		t.Error("a key below a file")
	}
}

func TestDerive(t *testing.T) {
	m := master(1)
	if m.Derive("a") == m.Derive("b") || m.Derive("a") == master(2).Derive("a") {
		t.Error("keys are not apart")
	}
	got := m.Derive("ids") // pinned: another value would change every id
	if h := hex.EncodeToString(got[:]); h != derivedIDs {
		t.Error(h)
	}
}

const derivedIDs = "7511ae18b381f5cee5371bbefd86f7b26dfe5d66b51f38c4e0fb804651c96dd1"
