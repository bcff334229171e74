package queue

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	crashSeed = flag.Uint64("crash.seed", 20261124, "seed of the moments at which TestCrash kills")
	crashRuns = flag.Int("crash.runs", 30, "how often TestCrash kills")
)

// workloadCap is of a counter that every second commit of the workload wants to
// count, until it is full.
const workloadCap = 300

// childWorkload commits from four callers without an end and prints acked=N
// only after Commit has said so. Each commit is a transfer that must be seen
// whole: a payment, an entry, an amount in a counter, and a place under a cap.
func childWorkload() {
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	lie(s, os.Getenv("QUEUE_LIE"))
	fmt.Printf("open=%d\n", s.Head().Seq)
	size, _ := strconv.Atoi(os.Getenv("QUEUE_SIZE")) // large ones make Badger turn to new logs
	life := cmp.Or(os.Getenv("QUEUE_LIFE"), strconv.Itoa(os.Getpid()))
	payment := append([]byte("amount 7"), make([]byte, size)...)
	var out sync.Mutex
	for caller := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", life, caller, i)
				c := Commit{
					Guards: []Guard{{"payment", id, nil}}, Records: []Record{{"payment", id, payment}},
					Event: []byte("stored " + id), Entries: []Entry{entry(id, id)}, Counts: []Count{{"exposure", 7, 1 << 40}},
				}
				if i%3 == 2 { // and settle an earlier one
					old := fmt.Sprintf("%s-%d-%d", life, caller, i-2)
					c.Done, c.Event = []string{old}, []byte("stored "+id+" settled "+old)
					c.Records = append(c.Records, Record{"settled", old, []byte("yes")})
				}
				var full *CapError
				plain := c
				if i%2 == 1 {
					c.Counts = append(c.Counts[:1:1], Count{"capped", 1, workloadCap})
					c.Event = append(c.Event, " capped"...)
				}
				done, err := s.Commit(context.Background(), c)
				if errors.As(err, &full) {
					done, err = s.Commit(context.Background(), plain)
				}
				out.Lock()
				if err != nil {
					fmt.Println("commit:", err)
					os.Exit(1)
				}
				fmt.Printf("acked=%d %s\n", done.Seq, id)
				out.Unlock()
			}
		}()
	}
	select {}
}

// lie makes a store acknowledge before its bytes are on the disk: the planted
// faults that a test of power cuts must find. "log" syncs a batch when the next
// one is written, "anchor" syncs the anchor now and then.
func lie(s *Store, how string) {
	c, _ := s.cells.(*badgerCells)
	switch how {
	case "":
	case "log":
		sync := c.durable
		c.durable = func() error { return nil }
		var write func([]cell) error
		write = hook(s, func(batch []cell) error { return errors.Join(sync(), write(batch)) })
	case "anchor":
		s.anchor.pages = &latePages{pages: s.anchor.pages}
	default:
		panic("no lie of the name " + how)
	}
}

// latePages syncs every eighth time. Of an anchor that trails by one batch nothing
// is to be seen, for that is allowed.
type latePages struct {
	pages
	due int
}

func (p *latePages) Sync() error {
	if p.due++; p.due%8 > 0 {
		return nil
	}
	return p.pages.Sync()
}

// TestCrash kills the workload at seeded moments, over and over on one store,
// and then holds the store against what was acknowledged. A kill loses nothing
// of the page cache: this proves the order of our steps, not the disk's.
func TestCrash(t *testing.T) {
	runs := *crashRuns
	if testing.Short() {
		runs = 5
	}
	random := rand.New(rand.NewPCG(*crashSeed, 1))
	var dir string
	var head uint64 // known to be durable
	acked, total, unknown := make(map[uint64]string), 0, 0
	for run := range runs {
		if run%killsEach == 0 {
			total, unknown = total+len(acked), unknown+int(head)-len(acked)
			os.RemoveAll(dir)
			dir, head = filepath.Join(t.TempDir(), "journal"), 0
			clear(acked)
		}
		moment := time.Duration(random.IntN(60_000)) * time.Microsecond
		for seq, id := range acknowledged(t, dir, moment, func(p *os.Process) { p.Kill() }) {
			if other, ok := acked[seq]; ok {
				t.Fatalf("seed %d, run %d: number %d was acknowledged for %s and %s", *crashSeed, run, seq, other, id)
			}
			acked[seq] = id
		}
		s := open(t, dir)
		head = max(head, checkWorkload(t, s, acked))
		shut(t, s)
		if t.Failed() {
			t.Fatalf("seed %d, run %d, killed %v after opening", *crashSeed, run, moment)
		}
	}
	total, unknown = total+len(acked), unknown+int(head)-len(acked)
	if total == 0 {
		t.Fatal("nothing was acknowledged in any run")
	}
	t.Logf("seed %d: %d kills, %d acknowledged, 0 lost, %d durable and not acknowledged", *crashSeed, runs, total, unknown)
}

// killsEach is how many kills one journal lives through: what the checker walks grows.
const killsEach = 50

// acknowledged runs the workload and returns what it was told, by number. Once
// the store is open, end is called after a while; it must kill the process.
func acknowledged(t *testing.T, dir string, after time.Duration, end func(*os.Process), more ...string) map[uint64]string {
	t.Helper()
	cmd := child(t, "workload", dir, more...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := make(map[uint64]string)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		line := scanner.Text()
		if strings.HasPrefix(line, "open=") {
			time.AfterFunc(after, func() { end(cmd.Process) })
			continue
		}
		number, id, ok := strings.Cut(strings.TrimPrefix(line, "acked="), " ")
		seq, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil {
			t.Errorf("the workload said %q", line)
			cmd.Process.Kill()
		}
		acked[seq] = id
	}
	cmd.Wait()
	return acked
}

// checkWorkload fails on what does not fit, and returns the journal's last number.
func checkWorkload(t *testing.T, s *Store, acked map[uint64]string) uint64 {
	t.Helper()
	if err := workloadFits(s, acked); err != nil {
		t.Error(err)
	}
	return s.Head().Seq
}

// workloadFits holds the store against what was acknowledged. It does not trust
// Verify alone: it derives records, entries and the counters from the events.
func workloadFits(s *Store, acked map[uint64]string) error {
	report, err := s.Verify()
	if err != nil {
		return err
	}
	stored, settled, capped := make(map[string]uint64), make(map[string]bool), int64(0)
	err = s.Events(1, func(e Event) error {
		words := strings.Fields(string(e.Payload))
		stored[words[1]] = e.Seq
		if words[len(words)-1] == "capped" {
			capped++
		}
		if len(words) >= 4 {
			settled[words[3]] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for seq, id := range acked {
		if stored[id] != seq {
			return fmt.Errorf("number %d was acknowledged for %s and is lost; the journal ends at %d", seq, id, report.Head.Seq)
		}
	}
	waiting, err := s.Waiting(1 << 30)
	if err != nil || len(waiting) != len(stored)-len(settled) {
		return fmt.Errorf("%d entries wait, want %d less %d: %w", len(waiting), len(stored), len(settled), err)
	}
	for _, e := range waiting {
		if stored[e.ID] != e.Seq || settled[e.ID] || string(e.Body) != fmt.Sprintf("%s|%d", e.ID, e.Seq) {
			return fmt.Errorf("entry %+v does not belong here", e)
		}
	}
	for name, want := range map[string]int64{"exposure": int64(7 * len(stored)), "capped": capped} {
		if n, err := s.Count(name); n != want || err != nil {
			return fmt.Errorf("counter %s is %d, %w, want %d", name, n, err, want)
		}
	}
	if capped > workloadCap {
		return fmt.Errorf("%d counted under a cap of %d", capped, workloadCap)
	}
	if report.Records != len(stored)+len(settled) || report.Head.Seq != uint64(len(stored)) {
		return fmt.Errorf("report %+v, want %d payments and %d settled", report, len(stored), len(settled))
	}
	return nil
}

// A kill in the middle of a flush or a compaction leaves a table that the
// manifest does not know yet. It is no damage.
func TestHalfWrittenTable(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{Records: []Record{{"payment", "1", []byte("kept")}}})
	shut(t, s)
	half := filepath.Join(dir, databaseName, "000999.sst")
	if err := os.WriteFile(half, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	wantValue(t, s, "payment", "1", []byte("kept"))
	verify(t, s)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half written table is still there: %v", err)
	}
}
