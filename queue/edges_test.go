package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A refusal that rests on a batch which then fails is not told as the truth.
func TestRefusalOfFailedBatch(t *testing.T) {
	s, dir := fresh(t)
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hook(s, func([]cell) error {
		once.Do(func() { close(started) })
		<-release
		return errors.New("input/output error") // nothing of it reaches the disk
	})
	pay := Commit{Event: []byte("e"), Guards: []Guard{{"k", "pay", nil}}, Records: []Record{{"k", "pay", []byte("v")}}, Counts: []Count{{"n", 5, 5}}}
	send := func(c Commit) <-chan error {
		answer := make(chan error, 1)
		go func() { _, err := s.Commit(context.Background(), c); answer <- err }()
		return answer
	}
	first := send(pay)
	<-started
	again, over := send(pay), send(Commit{Event: []byte("e"), Counts: []Count{{"n", 1, 5}}})
	time.Sleep(50 * time.Millisecond) // both are evaluated on the batch that is being written
	close(release)
	for name, answer := range map[string]<-chan error{"first": first, "guard": again, "cap": over} {
		if err := <-answer; !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: told %v, of a batch that is not on the disk", name, err)
		}
	}
	_ = s.Close() // it has failed; what matters is on the disk
	if _, ok, err := open(t, dir).Get("k", "pay"); ok || err != nil {
		t.Errorf("after opening again: %v %v", ok, err)
	}
}

// A kill between the making of a log and its first byte, or in its removal,
// leaves an empty file. It is no damage.
func TestEmptyFiles(t *testing.T) {
	for _, name := range []string{"00077.mem", "000001.vlog", "000002.vlog"} {
		t.Run(name, func(t *testing.T) {
			s, dir := fresh(t)
			commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
			shut(t, s)
			if err := os.WriteFile(filepath.Join(dir, databaseName, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			wantValue(t, s, "k", "k", []byte("v"))
			verify(t, s)
		})
	}
}

// A directory may be called what means something to a shell.
func TestDirectoryLikeAPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "till[1]")
	s := open(t, dir)
	commit(t, s, Commit{Records: []Record{{"k", "k", []byte("v")}}})
	shut(t, s)
	wantValue(t, open(t, dir), "k", "k", []byte("v"))
}

// A copy of the wrapped key that has rotted since the opening is mended before
// the other one is written over: at no moment does no key open the journal.
func TestRewrapOfADamagedCopy(t *testing.T) {
	for _, rotten := range keyPages {
		for seed := range 24 {
			l := newLife(seed)
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			p := l.disk.Open(anchorName)
			page := make([]byte, pageSize)
			if _, err := p.ReadAt(page, int64(rotten)*pageSize); err != nil {
				t.Fatal(err)
			}
			page[keyHeadLen+20] ^= 1
			if _, err := p.WriteAt(page, int64(rotten)*pageSize); err != nil {
				t.Fatal(err)
			}
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
			l.disk.FailIn = 1 + seed%6
			_ = l.store.anchor.rewrap(testMaster, nextMaster) // the power goes somewhere in it
			l.disk.Cut()
			_, err := loadAnchor(p, testMaster)
			if err != nil {
				_, err = loadAnchor(p, nextMaster)
			}
			if err != nil {
				t.Fatalf("page %d, seed %d: neither key opens the journal any more: %v", rotten, seed, err)
			}
		}
	}
}

// The store knows a bound of what Badger has written into its log, whatever a batch
// holds, and gives room up to it and not over it; what it gives is never over a byte
// of Badger's.
func TestRoomInTheLog(t *testing.T) {
	dir := filepath.Join(quickDir(t), "journal")
	s := open(t, dir)
	log := s.cells.(*badgerCells).log
	random := rand.New(rand.NewPCG(1, 1))
	turns, number := 0, log.number
	for i := range 350 {
		var records []Record
		for j := range 1 + random.IntN(8) {
			records = append(records, Record{"k", strings.Repeat("x", 1+random.IntN(200)) + fmt.Sprint(i, j), make([]byte, random.IntN(20<<10))})
		}
		commit(t, s, Commit{Records: records})
		if i%3 == 0 {
			for j := range records {
				records[j].Value = nil
			}
			commit(t, s, Commit{Records: records})
		}
		if log.number != number {
			turns, number = turns+1, log.number
		}
		if i%50 > 0 && log.used > 1<<20 {
			continue
		}
		b, err := os.ReadFile(logPath(filepath.Join(dir, databaseName), log.number))
		if err != nil {
			t.Fatal(err)
		}
		if end := int64(len(bytes.TrimRight(b, "\x00"))); end > log.used || log.used > end+end/2+4096 || log.zeroed > 0 && log.zeroed < log.used && log.used < log.size {
			t.Fatalf("commit %d: the log ends at %d, its bound is %d, there is room up to %d", i, end, log.used, log.zeroed)
		}
	}
	if turns == 0 {
		t.Error("the log has not turned")
	}
	verify(t, s)
	if log.used, log.zeroed = logHead, 0; log.ahead(nil) == nil {
		t.Error("room was given over what Badger has written")
	}
}

// Whoever has returned from Close may open the store again, whoever closed it.
func TestCloseTwice(t *testing.T) {
	s, dir := fresh(t)
	commit(t, s, Commit{})
	first := make(chan error, 1)
	go func() { first <- s.Close() }()
	for closed := false; !closed; {
		s.mu.Lock()
		closed = s.closed
		s.mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Options{Dir: dir, Master: testMaster})
	if err != nil {
		t.Fatalf("Close returned, opening says: %v", err)
	}
	shut(t, again)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
