package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

func TestWrongKey(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
	shut(t, s)
	for _, master := range [][]byte{nil, testMaster[:31], bytes.Repeat([]byte{8}, 32)} {
		if _, err := Open(Options{Dir: dir, Master: master}); !errors.Is(err, ErrKey) {
			t.Errorf("key of %d bytes: %v", len(master), err)
		}
	}
	wantValue(t, open(t, dir), "k", "k", []byte("v")) // and the attempts have done no harm
}

func childHold() {
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	fmt.Println("open", err)
	bufio.NewReader(os.Stdin).ReadString('\n')
	if s != nil {
		s.Close()
	}
}

// child runs this test binary as another process.
func child(t testing.TB, role, dir string, more ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "QUEUE_CHILD="+role, "QUEUE_DIR="+dir), more...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestSecondProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	cmd := child(t, "hold", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "open <nil>\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	_, err = Open(Options{Dir: dir, Master: testMaster})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("while the other process has it open: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if _, err := Open(Options{Dir: dir, Master: testMaster}); !errors.Is(err, ErrLocked) {
		t.Errorf("twice in one process: %v", err)
	}
	commit(t, s, Commit{})
}

func TestGate(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	shut(t, s)
	s = open(t, dir) // now there is a table, and its size counts
	tables, err := tableBytes(filepath.Join(dir, databaseName))
	if err != nil || tables == 0 {
		t.Fatal(tables, err)
	}
	commit(t, s, Commit{}) // sets the ballast aside
	free := minFree + tables
	s.space.free = func(string) (uint64, error) { return free, nil }
	commit(t, s, Commit{})
	free--
	if _, err := s.Commit(context.Background(), Commit{Event: []byte("e")}); !errors.Is(err, ErrFull) {
		t.Errorf("just below the gate: %v", err)
	}
	if _, err := s.Waiting(1); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	free++
	if done := commit(t, s, Commit{}); done.Seq != 4 {
		t.Errorf("after healing the number is %d", done.Seq)
	}
	verify(t, reopen(t, s, dir))
}

// A failed write is an unknown: the batch may be there or not, and only
// opening again tells. Until then nothing is told.
func TestUnknown(t *testing.T) {
	for _, written := range []bool{false, true} {
		t.Run(fmt.Sprint("written=", written), func(t *testing.T) {
			s, dir := fresh(t)
			commit(t, s, Commit{Records: []Record{{"k", "k", []byte("1")}}})
			var write func([]cell) error
			write = hook(s, func(batch []cell) error {
				if written {
					if err := write(batch); err != nil {
						t.Error(err)
					}
				}
				return errors.New("input/output error")
			})
			_, err := s.Commit(context.Background(), Commit{Event: []byte("e"), Records: []Record{{"k", "k", []byte("2")}}})
			_, again := s.Commit(context.Background(), Commit{Event: []byte("e")})
			_, _, get := s.Get("k", "k")
			_, waiting := s.Waiting(1)
			for i, err := range []error{err, again, get, waiting} {
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("call %d after the failure: %v", i, err)
				}
			}
			if s.Head().Seq != 1 {
				t.Error("the failed commit is shown")
			}
			version := func() (v uint64) {
				c := s.cells
				if h, ok := c.(hooked); ok {
					c = h.cells
				}
				err := c.(*badgerCells).db.View(func(txn *badger.Txn) error {
					item, err := txn.Get(s.ring.cellKey(classRecord, "k", "k"))
					v = item.Version()
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			before := version()
			s = reopen(t, s, dir)
			if again := version() > before; again != written {
				t.Errorf("a batch in doubt was written again: %v, want %v", again, written)
			}
			want := map[bool]string{false: "1", true: "2"}[written]
			wantValue(t, s, "k", "k", []byte(want))
			verify(t, s)
			commit(t, s, Commit{Records: []Record{{"k", "k", []byte("3")}}})
			verify(t, reopen(t, s, dir))
		})
	}
}

// The same with the anchor as what fails, and many callers in the batch.
func TestAnchorFails(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	s.anchor.pages.(anchorFile).Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := s.Commit(context.Background(), Commit{Event: []byte("e")}); !errors.Is(err, ErrUnknown) {
				t.Errorf("got %v", err)
			}
		}()
	}
	wg.Wait()
	s.Close() // says that the anchor is closed
	if head := verify(t, open(t, dir)).Head.Seq; head < 2 || head > 21 {
		t.Errorf("the journal ends at %d", head)
	}
}

// The anchor may trail by the last batch, with one slot torn; not by more.
func TestAnchorTrails(t *testing.T) {
	s, dir := fresh(t)
	for range 5 {
		commit(t, s, Commit{})
	}
	head, next := s.Head(), s.anchor.next
	m := readImage(t, dir) // as a kill leaves it
	shut(t, s)
	tear := func(slots ...int) error {
		data := bytes.Clone(m[anchorName].data)
		for _, i := range slots {
			clear(data[slotPages[i]*pageSize+20:][:40])
		}
		broken := image{}
		for name, f := range m {
			broken[name] = f
		}
		broken[anchorName] = imageFile{m[anchorName].size, data}
		dir := filepath.Join(t.TempDir(), "journal")
		broken.write(t, dir)
		s, err := Open(Options{Dir: dir, Master: testMaster})
		if err != nil {
			return err
		}
		defer s.Close()
		if r := verify(t, s); r.Head != head || len(r.Healed) != len(slots) {
			t.Errorf("slots %v torn: %+v", slots, r)
		}
		return nil
	}
	var damage *DamageError
	if err := errors.Join(tear(), tear(next), tear(1-next)); err != nil {
		t.Error(err)
	}
	if err := tear(0, 1); !errors.As(err, &damage) {
		t.Errorf("both slots torn: %v", err)
	}
}

type lines struct{ text []string }

func (l *lines) Warn(text string) { l.text = append(l.text, text) }

// One copy of the wrapped key may be lost.
func TestKeyCopies(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
	shut(t, s)
	path := filepath.Join(dir, anchorName)
	for _, page := range keyPages {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[page*pageSize+50] ^= 4
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var log lines
		s, err := Open(Options{Dir: dir, Master: testMaster, Logger: &log})
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, s, "k", "k", []byte("v"))
		if len(verify(t, s).Healed) != 1 || len(log.text) != 1 {
			t.Errorf("page %d: healed %v, logged %v", page, s.healed, log.text)
		}
		shut(t, s)
	}
	if s := open(t, dir); len(s.healed) != 0 {
		t.Errorf("healed again: %v", s.healed)
	}
}

// Files that were not closed, opened by a killed process's successor, must be
// quick to open.
func TestReadyWithTenThousandWaiting(t *testing.T) {
	s, dir := fresh(t)
	message := bytes.Repeat([]byte("m"), 2000)
	for i := range 400 {
		c := Commit{Event: []byte("e")}
		for j := range 25 {
			c.Entries = append(c.Entries, Entry{ID: fmt.Sprint(i, "/", j), Kind: "advice", Seal: func(uint64) ([]byte, error) { return message, nil }})
		}
		commit(t, s, c)
	}
	m := readImage(t, dir)
	shut(t, s)
	killed := filepath.Join(t.TempDir(), "journal")
	m.write(t, killed)
	start := time.Now()
	s = open(t, killed)
	took := time.Since(start)
	if waiting, _ := s.Depth(); waiting != 10_000 {
		t.Errorf("%d wait", waiting)
	}
	t.Logf("ready after %v", took)
	if took > 5*time.Second { // the aim is 1 s on a quiet machine
		t.Errorf("ready after %v", took)
	}
}
