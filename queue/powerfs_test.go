//go:build linux

package queue

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapkeeper/queue/queuetest/powerfs"
)

var (
	powerSeed = flag.Uint64("power.seed", 20261124, "seed of the cuts of TestPowerLoss")
	powerCuts = flag.Int("power.cuts", 20, "how often TestPowerLoss takes the power away")
)

// powered is a journal on a disk from which the power is taken, over and over.
type powered struct {
	disk   *powerfs.Disk
	random *rand.Rand
	acked  map[uint64]string
	lives  int
	total  int
}

func newPowered(seed uint64) *powered {
	return &powered{random: rand.New(rand.NewPCG(seed, 5))}
}

// livesEach is how many lives one journal has: what the checker walks grows.
const livesEach = 12

// life runs the workload until the power goes at a request that the seed names,
// lets survive what the seed lets survive, and holds a copy of that against what
// was acknowledged. It returns what does not fit.
func (p *powered) life(t *testing.T, how string) error {
	t.Helper()
	if p.lives%livesEach == 0 {
		p.disk, p.acked = powerfs.NewDisk(4<<30), make(map[uint64]string)
	}
	p.lives++
	mount := t.TempDir()
	unmount, err := p.disk.Mount(mount)
	if err != nil {
		needed(t, err.Error())
	}
	at, size := 1+p.random.IntN(500), 0
	if p.lives%7 == 3 { // Badger turns to new logs and writes tables meanwhile
		at, size = 1+p.random.IntN(4000), 30<<10
	}
	p.disk.Arm(at)
	before := len(p.acked)
	p.work(t, mount, fmt.Sprint("QUEUE_SIZE=", size), "QUEUE_LIE="+how)
	if err := unmount(); err != nil {
		t.Fatal(err)
	}
	p.total += len(p.acked) - before
	survival := powerfs.Survival(p.random.IntN(powerfs.Survivals))
	p.disk.Settle(p.random, survival)
	copied := quickDir(t)
	defer os.RemoveAll(copied)
	if err := p.disk.Export(copied); err != nil {
		t.Fatal(err)
	}
	if err := p.check(t, filepath.Join(copied, "journal")); err != nil {
		return fmt.Errorf("life %d, cut at request %d, survival %d: %w", p.lives, at, survival, err)
	}
	return nil
}

// patience is how long a life may take to come to its cut.
const patience = 20 * time.Second

// work collects what the workload was told until the power goes.
func (p *powered) work(t *testing.T, mount string, more ...string) {
	t.Helper()
	cmd := child(t, "workload", filepath.Join(mount, "journal"), more...)
	cmd.Stderr = nil // it may die of a page that cannot be read
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead, over := p.disk.Dead(), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-dead:
		case <-time.After(patience):
			p.disk.Cut()
		}
		cmd.Process.Kill()
	}()
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		number, id, ok := strings.Cut(strings.TrimPrefix(scanner.Text(), "acked="), " ")
		if seq, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			p.acked[seq] = id
		}
	}
	<-over
	_ = cmd.Wait() // it was killed
}

// check opens what has survived.
func (p *powered) check(t *testing.T, dir string) error {
	if _, err := os.Stat(dir); os.IsNotExist(err) && len(p.acked) == 0 {
		return nil // the power went before the journal had a name
	}
	s, err := Open(Options{Dir: dir, Master: testMaster})
	if err != nil {
		return fmt.Errorf("%d acknowledged, and then: %w", len(p.acked), err)
	}
	defer s.Close()
	return workloadFits(s, p.acked)
}

// TestPowerLoss takes the power away at any request that the kernel makes of a
// file system in memory: between a page and its sync, in the middle of opening, while
// tables are written. See package powerfs for what survives. The power also goes
// while an earlier cut is recovered from: each life begins on what the last has left.
func TestPowerLoss(t *testing.T) {
	canMount(t)
	p := newPowered(*powerSeed)
	cuts := scaled(*powerCuts)
	for range cuts {
		if err := p.life(t, ""); err != nil {
			t.Fatalf("-power.seed=%d: %v", *powerSeed, err)
		}
	}
	t.Logf("seed %d: %d cuts, %d acknowledged, 0 lost", *powerSeed, cuts, p.total)
	if p.total == 0 {
		t.Error("nothing was acknowledged")
	}
}

// A journal that acknowledges before its bytes are on the disk must be found out
// by the same lives, or they find nothing.
func TestPowerLossFindsALie(t *testing.T) {
	canMount(t)
	for _, how := range []string{"log", "anchor"} {
		p, found := newPowered(*powerSeed), error(nil)
		for range 25 {
			if found = p.life(t, how); found != nil {
				break
			}
		}
		if found == nil {
			t.Errorf("a %s that is synced after the acknowledgement was not found out in %d lives", how, p.lives)
		}
		t.Logf("%s: found out by %v", how, found)
	}
}

// canMount skips where there is no FUSE.
func canMount(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		needed(t, "no FUSE: "+err.Error())
	}
	f.Close()
}
