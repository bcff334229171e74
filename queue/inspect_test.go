package queue

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Inspect finds what Open and Verify find, and leaves every byte as it is.
func TestInspect(t *testing.T) {
	sm := makeSample(t)
	look := func(m image) (Report, error) {
		t.Helper()
		base := t.TempDir()
		dir := filepath.Join(base, "journal")
		m.write(t, dir)
		report, err := Inspect(Options{Dir: dir, Master: testMaster})
		for name, f := range readImage(t, dir) {
			if want, ok := m[name]; f.size > 0 && (!ok || !bytes.Equal(f.data, want.data) || f.size != want.size) {
				t.Errorf("%s was changed", name)
			}
		}
		if left, _ := os.ReadDir(base); len(left) != 1 {
			t.Errorf("%d files are left beside the journal", len(left)-1)
		}
		return report, err
	}
	for state, m := range map[string]image{"closed": sm.closed, "killed": sm.killed} {
		if report, err := look(m); err != nil || report.Head != sm.head || report.Waiting == 0 || report.Aside == 0 {
			t.Errorf("%s: %+v, %v", state, report, err)
		}
		var damage *DamageError
		for name, f := range m {
			if filepath.Ext(name) != ".sst" && filepath.Ext(name) != ".mem" || len(f.data) < 200 {
				continue
			}
			broken := image{}
			for n, f := range m {
				broken[n] = f
			}
			data := bytes.Clone(f.data)
			data[len(data)/2] ^= 1
			broken[name] = imageFile{f.size, data}
			if _, err := look(broken); !errors.As(err, &damage) {
				t.Errorf("%s: a byte of %s: %v", state, name, err)
			}
		}
	}
	s, dir := fresh(t)
	if _, err := Inspect(Options{Dir: dir, Master: testMaster}); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	shut(t, s)
	if _, err := Inspect(Options{Dir: dir, Master: nextMaster}); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := Inspect(Options{Dir: filepath.Join(t.TempDir(), "none"), Master: testMaster}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
}
