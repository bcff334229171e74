//go:build linux

package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4/table"

	"tapkeeper/queue/queuetest/powerfs"
)

// twoTables is a closed store whose database has at least two tables.
func twoTables(t *testing.T) (dir string, ids []uint64) {
	s, dir := fresh(t)
	for range 2 {
		for range 20 {
			commit(t, s, Commit{Entries: []Entry{entry("e"+string(rune('a'+s.Head().Seq)), "g")}})
		}
		shut(t, s) // its log becomes a table
		s = open(t, dir)
	}
	shut(t, s)
	ids, _, err := listed(filepath.Join(dir, databaseName), databaseOptions(dir, nil))
	if err != nil || len(ids) < 2 {
		t.Fatalf("%d tables, %v", len(ids), err)
	}
	return dir, ids
}

func (p relisting) must(t *testing.T, dir string) {
	t.Helper()
	// The other way round: what this forgets and lists again is what a failed sync leaves.
	if err := p.write(filepath.Join(dir, databaseName)); err != nil {
		t.Fatal(err)
	}
}

// A refused sync of the manifest leaves a table in it that Badger has removed (a
// log that became none), or one that should have replaced others (a merge).
func TestMend(t *testing.T) {
	for name, leave := range map[string]func(ids []uint64) relisting{
		"a log that became no table":   func([]uint64) relisting { return relisting{back: []uint64{900}} },
		"a merge that did not happen":  func(ids []uint64) relisting { return relisting{gone: ids, back: []uint64{900, 901}} },
		"half of the tables were kept": func(ids []uint64) relisting { return relisting{gone: ids[:1], back: []uint64{900}} },
	} {
		t.Run(name, func(t *testing.T) {
			dir, ids := twoTables(t)
			leave(ids).must(t, dir)
			s := open(t, dir)
			if len(s.healed) != 1 || !strings.Contains(s.healed[0], "000900.sst") {
				t.Errorf("it says %q", s.healed)
			}
			verify(t, s)
			if n, _ := s.Depth(); n != 40 {
				t.Errorf("%d entries wait, want 40", n)
			}
			commit(t, s, Commit{Event: []byte("on")})
			shut(t, s)
			if s = open(t, dir); len(s.healed) > 0 {
				t.Errorf("again: %q", s.healed)
			}
			if _, err := os.Stat(filepath.Join(dir, copyName)); err == nil {
				t.Error("the copy is left")
			}
		})
	}
}

// A table that held something alone is damage, and is left as it is found.
func TestMendRefusesLoss(t *testing.T) {
	dir, ids := twoTables(t)
	lost := ids[len(ids)-1]
	relisting{back: []uint64{900}}.must(t, dir)
	if err := os.Remove(table.NewFilename(lost, filepath.Join(dir, databaseName))); err != nil {
		t.Fatal(err)
	}
	before := readImage(t, dir)
	_, err := Open(Options{Dir: dir, Master: testMaster})
	var damage *DamageError
	if !errors.As(err, &damage) || damage.What != "database" || !strings.Contains(err.Error(), "and without") {
		t.Fatalf("it opened, or said %v", err)
	}
	after := readImage(t, dir)
	for name, f := range before {
		if g, ok := after[name]; filepath.Base(name) != ballastName && (!ok || !bytes.Equal(f.data, g.data)) {
			t.Errorf("%s is not as it was", name)
		}
	}
	// And where there is no room to find out, it says so.
	_, err = Open(Options{Dir: dir, Master: testMaster, free: func(string) (uint64, error) { return 20 << 20, nil }})
	if !errors.As(err, &damage) && !errors.Is(err, ErrFull) {
		t.Errorf("without room: %v", err)
	}
}

// A database whose manifest could not be changed is given nothing more.
func TestLostManifest(t *testing.T) {
	s, _ := fresh(t)
	commit(t, s, Commit{Event: []byte("one")})
	db := s.cells.(*badgerCells)
	db.flushes.hear("While running doCompact: sync /x/MANIFEST: input/output error")
	_, err := s.Commit(context.Background(), Commit{Event: []byte("two")})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("it said %v", err)
	}
	if ids := slices.Collect(func(yield func(uint64) bool) { _ = s.Events(1, func(e Event) error { yield(e.Seq); return nil }) }); len(ids) != 1 {
		t.Errorf("events %v", ids)
	}
}

// A journal is closed while each of the closing's syncs fails once, Badger's of its
// manifest among them: the next one opens and has everything.
func TestClosingWithEveryRefusedSync(t *testing.T) {
	t.Parallel()
	canMount(t)
	disk, mount := powerfs.NewDisk(4<<30), t.TempDir()
	unmount, err := disk.Mount(mount)
	if err != nil {
		needed(t, err.Error())
	}
	t.Cleanup(func() { _ = unmount() })
	mended := 0
	for n, syncs := 1, 1; n <= syncs; n++ {
		dir := filepath.Join(mount, fmt.Sprint("journal", n))
		p := startSteps(t, dir, "ok")
		for _, key := range []string{"1", "2", "3"} {
			p.do("commit "+key, "ok")
		}
		disk.Arm(0)
		disk.FailSync(n)
		p.do("close", "*")
		_, syncs = disk.Counts()
		disk.FailSync(0)
		p.kill()
		if listed, have := tablesOf(t, dir); !slices.Equal(listed, have) {
			mended++
		}
		p = startSteps(t, dir, "ok")
		for _, key := range []string{"1", "2", "3"} {
			p.do("get "+key, "ok")
		}
		p.do("verify", "ok")
		p.do("commit 4", "ok")
		p.do("close", "ok")
		p.kill()
	}
	if mended == 0 {
		t.Error("no sync that was refused has left a table behind in the manifest")
	}
}

// tablesOf are the tables that the manifest lists, and those that there are.
func tablesOf(t *testing.T, dir string) (known, have []uint64) {
	t.Helper()
	dir = filepath.Join(dir, databaseName)
	known, _, err := listed(dir, databaseOptions(dir, nil))
	files, e := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		id, _ := table.ParseFileID(path)
		have = append(have, id)
	}
	return known, have
}
