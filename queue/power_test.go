//go:build linux

package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPowerCut cuts the power of a disk: the workload runs on a file system in
// an image; at a seeded moment it is stopped and the image is copied as it is,
// without what was never synced. A kill cannot show a missing sync; this does
// (with SyncWrites off it loses nearly everything).
func TestPowerCut(t *testing.T) {
	if os.Geteuid() != 0 {
		needed(t, "mounting an image needs root")
	}
	base := t.TempDir()
	disk := filepath.Join(base, "disk.img")
	makeImage(t, disk, 1<<30)
	cuts := scaled(8) // TestPowerLoss does more of them, in less time
	random := rand.New(rand.NewPCG(*crashSeed, 2))
	acked := make(map[uint64]string)
	for cut := range cuts {
		moment, size := time.Duration(20+random.IntN(200))*time.Millisecond, 0
		if cut%7 == 3 { // long enough to fill a log of Badger, and turn to the next
			moment, size = 1200*time.Millisecond, 30<<10
		}
		mount, next := filepath.Join(base, "mount"), filepath.Join(base, "disk"+strconv.Itoa(cut)+".img")
		for seq, id := range cutAfter(t, disk, mount, next, moment, size) {
			acked[seq] = id
		}
		disk = next
		mountImage(t, disk, mount, lazily)
		s := open(t, filepath.Join(mount, "journal"))
		checkWorkload(t, s, acked)
		shut(t, s)
		unmount(t, mount)
		if t.Failed() {
			t.Fatalf("seed %d, cut %d, %v after opening", *crashSeed, cut, moment)
		}
	}
	t.Logf("seed %d: %d cuts, %d acknowledged, 0 lost", *crashSeed, cuts, len(acked))
}

func makeImage(t *testing.T, image string, size int64) {
	t.Helper()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
		needed(t, "mkfs.ext4: "+err.Error()+" "+string(out))
	}
}

// lazily: the file system writes back nothing by itself meanwhile.
const lazily = "commit=300"

func mountImage(t *testing.T, image, dir, how string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop,"+how, image, dir).CombinedOutput(); err != nil {
		needed(t, "mount an image: "+err.Error()+" "+string(out))
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v, %s", err, out)
	}
}

// cutAfter returns what was acknowledged before the image was copied.
func cutAfter(t *testing.T, image, mount, copied string, moment time.Duration, size int) map[uint64]string {
	t.Helper()
	mountImage(t, image, mount, lazily)
	defer unmount(t, mount)
	return acknowledged(t, filepath.Join(mount, "journal"), moment, func(p *os.Process) {
		defer p.Kill()
		p.Signal(syscall.SIGSTOP)
		time.Sleep(20 * time.Millisecond) // what is on its way to the disk arrives
		if out, err := exec.Command("cp", "--sparse=always", image, copied).CombinedOutput(); err != nil {
			t.Errorf("cp: %v, %s", err, out)
		}
	}, fmt.Sprint("QUEUE_SIZE=", size))
}

// TestSyncFails lets the kernel refuse a sync in the middle of the workload: a
// commit syncs Badger's log and then the anchor, so that the numbers hit both.
// The commit under way must end as unknown, and what was acknowledged before must
// be there.
func TestSyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		needed(t, err.Error())
	}
	for _, call := range []string{"fdatasync"} {
		for _, nth := range []string{"12", "31", "62", "63"} {
			t.Run(call+"/"+nth, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "journal")
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				self := child(t, "workload", dir)
				cmd := exec.CommandContext(ctx, self.Path)
				cmd.Env, cmd.Stderr = self.Env, self.Stderr
				cmd.Path = strace
				cmd.Args = []string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + call + ":error=EIO:when=" + nth, cmd.Args[0]}
				out, err := cmd.Output()
				if err == nil {
					t.Fatal("the workload ended well")
				}
				acked, unknown := make(map[uint64]string), false
				for line := range strings.Lines(string(out)) {
					if strings.HasPrefix(line, "commit: "+ErrUnknown.Error()) {
						unknown = true
					}
					number, id, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "acked=")), " ")
					if seq, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
						acked[seq] = id
					}
				}
				if !unknown || len(acked) == 0 {
					t.Fatalf("%d acknowledged, unknown: %v; the workload said %.300s", len(acked), unknown, out)
				}
				s := open(t, dir)
				head := checkWorkload(t, s, acked)
				t.Logf("%d acknowledged, %d durable", len(acked), head)
			})
		}
	}
}
