//go:build linux

package queue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tapkeeper/queue/queuetest/powerfs"
)

// loud ends a child process that finds its script broken.
type loud struct{}

func (loud) Fatalf(f string, a ...any) {
	fmt.Printf("broken: "+f+"\n", a...)
	os.Exit(1)
}

// childDay plays the day until a commit is unknown, and says how far it came.
func childDay() {
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	if err != nil {
		fmt.Println("not open:", err)
		os.Exit(0)
	}
	// strace counts the calls of each thread: the writer gets one of its own.
	var write func([]cell) error
	write = hook(s, func(batch []cell) error { runtime.LockOSThread(); return write(batch) })
	d := newScripted()
	at := d.play(loud{}, 0, func(c Commit) error {
		_, err := s.Commit(context.Background(), c)
		return err
	})
	err = s.Close()
	fmt.Println("played", at, err)
	os.Exit(0)
}

// TestDayWithRefusedSyncs lets the kernel refuse a sync of a real disk, at numbers
// over the whole day: fdatasync is of the log and the anchor in turn, fsync of
// directories and the manifest, msync of tables. TestDayWithEveryFailure does them
// all, on a simulated disk.
func TestDayWithRefusedSyncs(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		needed(t, err.Error())
	}
	calls := map[string][]int{"fdatasync": {1, 2, 9, 40, 77, 110, 145, 146}, "fsync": {1, 5, 9, 14, 16}, "msync": {1, 2, 4}}
	for call, numbers := range calls {
		for _, nth := range numbers {
			t.Run(fmt.Sprint(call, "/", nth), func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "journal")
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				self := child(t, "day", dir)
				cmd := exec.CommandContext(ctx, strace, "-f", "-qq", "-o", "/dev/null",
					"-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", call, nth), self.Path)
				cmd.Env = self.Env
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				t.Logf("%s", out)
				d, at := newScripted(), 0
				if n, _ := fmt.Sscanf(string(out), "played %d", &at); n == 0 && !strings.HasPrefix(string(out), "not open: ") {
					t.Fatalf("it said %q", out)
				}
				// What the child was told is what the script says; of the commit that was
				// unknown the journal tells.
				if d.play(t, 0, told(d, at)) != at {
					t.Fatal("the script went elsewhere")
				}
				if call == "fdatasync" && at == len(d.script) {
					t.Errorf("it was not refused")
				}
				s, err := Open(Options{Dir: dir, Master: testMaster})
				if damage := (*DamageError)(nil); call == "fsync" && errors.As(err, &damage) && damage.What == "database" {
					t.Logf("a table of Badger's is missing, and the journal says so (docs/durability.md): %v", err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				if at < len(d.script) {
					at = d.settle(t, at, s)
				}
				compare(t, s, d.state)
				if end := d.play(t, at, func(c Commit) error { _, err := s.Commit(context.Background(), c); return err }); end != len(d.script) {
					t.Fatalf("the day stopped again, at %d", end)
				}
				compare(t, s, d.state)
				verify(t, s)
			})
		}
	}
}

// told answers the first commits as the model does, and the one after them as unknown.
func told(d *scripted, until int) func(Commit) error {
	at := 0
	return func(c Commit) error {
		at++
		switch next := d.state.clone(); {
		case at > until:
			return ErrUnknown
		case next.apply(c, false):
			return nil
		}
		return ErrConflict
	}
}

// childSteps does one thing for each line that it is told, and says what came of it.
func childSteps() {
	s, err := Open(Options{Dir: os.Getenv("QUEUE_DIR"), Master: testMaster})
	fmt.Println(word(err))
	if err != nil {
		os.Exit(0)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch name, key, _ := strings.Cut(in.Text(), " "); name {
		case "commit":
			_, err = s.Commit(context.Background(), Commit{Event: []byte("e"), Records: []Record{{"k", key, []byte(key)}}, Entries: []Entry{entry(key, "")}})
		case "get":
			var value []byte
			if value, _, err = s.Get("k", key); err == nil && string(value) != key {
				err = fmt.Errorf("%s is %q", key, value)
			}
		case "disk":
			var d Disk
			if d, err = s.Disk(); err == nil {
				err = d.Why
			}
		case "verify":
			_, err = s.Verify()
		case "close":
			err = s.Close()
		}
		fmt.Println(word(err))
	}
	os.Exit(0)
}

func word(err error) string {
	for _, known := range []struct {
		err  error
		word string
	}{{nil, "ok"}, {ErrUnknown, "unknown"}, {ErrDisk, "disk"}, {ErrFull, "full"}} {
		if errors.Is(err, known.err) {
			return known.word
		}
	}
	return "error: " + firstLine(err.Error())
}

// steps is a child that does what it is told.
type steps struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
}

func startSteps(t *testing.T, dir, want string) *steps {
	t.Helper()
	p := &steps{t: t, cmd: child(t, "steps", dir), lines: make(chan string)}
	in, err := p.cmd.StdinPipe()
	out, e := p.cmd.StdoutPipe()
	if err = errors.Join(err, e, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p.in = in
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	p.expect("open", want)
	return p
}

// do tells it a step and wants its word, within a bound.
func (p *steps) do(step, want string) {
	p.t.Helper()
	fmt.Fprintln(p.in, step)
	p.expect(step, want)
}

func (p *steps) expect(step, want string) {
	p.t.Helper()
	select {
	case got := <-p.lines:
		if got != want && !(strings.HasSuffix(want, "*") && strings.HasPrefix(got, strings.TrimSuffix(want, "*"))) {
			p.t.Errorf("%s: %s, want %s", step, got, want)
		}
	case <-time.After(30 * time.Second):
		p.t.Errorf("%s: no answer", step)
	}
}

func (p *steps) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// A disk that turns read-only refuses new commits with the reason and leaves the
// old ones readable; when it takes writes again, so does the journal, in the same
// process. A journal does not open on one, and says why.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	canMount(t)
	disk, mount := powerfs.NewDisk(4<<30), t.TempDir()
	unmount, err := disk.Mount(mount)
	if err != nil {
		needed(t, err.Error())
	}
	t.Cleanup(func() { _ = unmount() })
	dir := filepath.Join(mount, "journal")
	p := startSteps(t, dir, "ok")
	p.do("commit 1", "ok")
	for round := range 2 {
		disk.ReadOnly(true)
		p.do("commit 2", "disk")
		p.do("commit 2", "disk")
		p.do("disk", "disk")
		p.do("get 1", "ok")
		p.do("verify", "ok")
		disk.ReadOnly(false)
		p.do(fmt.Sprint("commit again", round), "ok")
		p.do("disk", "ok")
	}
	disk.ReadOnly(true)
	start := time.Now()
	p.do("close", "error: *") // its logs hold everything
	if took := time.Since(start); took > 2*closePatience {
		t.Errorf("closing on a disk that takes nothing took %v", took)
	}
	p.kill()
	p = startSteps(t, dir, "disk")
	p.kill()
	disk.ReadOnly(false)
	p = startSteps(t, dir, "ok")
	p.do("get 1", "ok")
	p.do("get again1", "ok")
	p.do("verify", "ok")
	p.do("close", "ok")
	p.kill()
}

// A real file system that turns read-only by an error of its own. It takes writes
// again only when it is mounted anew, and for that the process must have ended:
// Badger's maps hold it.
func TestFileSystemError(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		needed(t, "mounting an image needs root")
	}
	base := t.TempDir()
	image, mount := filepath.Join(base, "disk.img"), filepath.Join(base, "mount")
	makeImage(t, image, 400<<20)
	mountImage(t, image, mount, "errors=remount-ro")
	device, trigger := loopOf(t, mount)
	if _, err := os.Stat(trigger); err != nil {
		needed(t, "this kernel makes no errors on demand: "+err.Error())
	}
	dir := filepath.Join(mount, "journal")
	p := startSteps(t, dir, "ok")
	p.do("commit 1", "ok")
	if err := os.WriteFile(trigger, []byte("a test of "+device), 0); err != nil {
		t.Fatal(err)
	}
	p.do("commit 2", "disk")
	p.do("disk", "disk")
	p.do("get 1", "ok")
	p.do("verify", "ok")
	p.do("close", "error: *")
	p.kill()
	p = startSteps(t, dir, "disk")
	p.kill()
	unmount(t, mount) // and the file system's own log is played
	mountImage(t, image, mount, "errors=remount-ro")
	p = startSteps(t, dir, "ok")
	p.do("get 1", "ok")
	p.do("commit 2", "ok")
	p.do("verify", "ok")
	p.do("close", "ok")
	p.kill()
	unmount(t, mount)
}

// loopOf returns the device behind a mount, and the file that makes an error on it.
func loopOf(t *testing.T, mount string) (device, trigger string) {
	t.Helper()
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", mount).Output()
	if err != nil {
		needed(t, "findmnt: "+err.Error())
	}
	device = filepath.Base(strings.TrimSpace(string(out)))
	return device, filepath.Join("/sys/fs/ext4", device, "trigger_fs_error")
}

// Before each commit of a day somebody else fills a real disk to its last byte.
// The process stays up, what is refused is refused with the reason, and taken when
// there is room again.
func TestDayOnARealFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		needed(t, "mounting an image needs root")
	}
	base := t.TempDir()
	image, mount := filepath.Join(base, "disk.img"), filepath.Join(base, "mount")
	makeImage(t, image, 150<<20)
	mountImage(t, image, mount, "noatime")
	dir, hog := filepath.Join(mount, "journal"), filepath.Join(mount, "hog")
	s := open(t, dir)
	d, refused := newScripted(), 0
	at := d.play(t, 0, func(c Commit) error {
		hogDisk(t, mount, hog)
		_, err := s.Commit(context.Background(), c)
		if e := os.Remove(hog); e != nil {
			t.Fatal(e)
		}
		if errors.Is(err, ErrFull) {
			refused++
			_, err = s.Commit(context.Background(), c)
		}
		return err
	})
	if at != len(d.script) || refused == 0 || refused == len(d.script) {
		t.Errorf("%d commits of %d, %d of them refused first", at, len(d.script), refused)
	}
	compare(t, s, d.state)
	s = reopen(t, s, dir)
	compare(t, s, d.state)
	verify(t, s)
	shut(t, s)
	unmount(t, mount)
	t.Logf("%d commits, %d refused by a full disk first and taken after", at, refused)
}
