package queue

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// released are the formats that a merchant's disk may hold. Each has a journal in
// testdata, written by a program of its time and then killed, with a full queue: a
// table and a log, records, counters, entries that wait, are parked, and have left.
var released = []byte{2}

// unpack writes a journal of testdata, with the holes of its files, and returns its
// directory.
func unpack(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	m := make(image)
	for files := tar.NewReader(z); ; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if head.Typeflag == tar.TypeDir {
			continue
		}
		b, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		_, path, _ := strings.Cut(head.Name, "/")
		m[path] = imageFile{int64(len(b)), bytes.TrimRight(b, "\x00")}
	}
	dir := filepath.Join(t.TempDir(), "journal")
	m.write(t, dir)
	return dir
}

// A journal of every released format, with a full queue, opens: everything is there
// that its own program saw, nothing has healed or changed, and work goes on.
func TestReleasedFormats(t *testing.T) {
	if released[len(released)-1] != format {
		t.Errorf("format %d has no journal in testdata: write one before it is released", format)
	}
	for _, f := range released {
		want, err := os.ReadFile(fmt.Sprintf("testdata/format-%d.txt", f))
		if err != nil {
			t.Fatal(err)
		}
		dir := unpack(t, fmt.Sprintf("format-%d.tar.gz", f))
		for round := range 2 {
			s := open(t, dir)
			head := s.Head()
			got := fmt.Sprintf("head %d %x\n%s", head.Seq, head.Hash, dump(t, s))
			if round == 0 && got != string(want) {
				t.Errorf("format %d: the journal tells\n%.500s\nand not\n%.500s", f, got, want)
			}
			if r := verify(t, s); r.Waiting == 0 || r.Aside == 0 || r.Records == 0 || r.Counters == 0 {
				t.Errorf("format %d: %+v", f, r)
			}
			waiting, err := s.Waiting(1)
			if err != nil || len(waiting) != 1 {
				t.Fatal(waiting, err)
			}
			done := commit(t, s, Commit{Done: []string{waiting[0].ID}, Counts: []Count{{"sum", 1, 0}}})
			if done.Seq != head.Seq+1 {
				t.Errorf("format %d: number %d after %d", f, done.Seq, head.Seq)
			}
			shut(t, s)
		}
	}
}

// A journal of a format that this program does not know is refused, in both copies
// of the key or in one, and each of its bytes is as it was: the ballast too, on a
// full disk.
func TestStrangeFormatIsLeftAlone(t *testing.T) {
	full := func(string) (uint64, error) { return 0, nil }
	dir := unpack(t, "format-2.tar.gz")
	if err := os.WriteFile(filepath.Join(dir, ballastName), bytes.Repeat([]byte{1}, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	alter(t, dir, format+1)
	before := every(t, dir)
	for _, look := range []func() error{
		func() error { return openWith(testMaster, dir) },
		func() error { _, err := Open(Options{Dir: dir, Master: testMaster, free: full}); return err },
		func() error { _, err := Inspect(Options{Dir: dir, Master: testMaster}); return err },
	} {
		if err := look(); !errors.Is(err, ErrVersion) {
			t.Errorf("got %v", err)
		}
		if after := every(t, dir); after != before {
			t.Errorf("the files are\n%s\nand were\n%s", after, before)
		}
	}
}

// every is what all files of a directory hold.
func every(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockName {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %d %x\n", d.Name(), len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
