//go:build linux

package queue

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
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

	"golang.org/x/sys/unix"
)

var (
	machineCuts   = flag.Int("machine.cuts", 0, "how often TestMachineCut kills a whole machine")
	machineKernel = flag.String("machine.kernel", "", "folder with vmlinuz and the modules of a virtual disk (.ci/guest makes it)")
)

// machineModules are what a Debian kernel needs to see a virtual disk, in this order.
var machineModules = []string{"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"}

// childMachine is the first and only process of a machine: it makes the disk ready
// and runs the workload on it.
func childMachine() {
	must := func(err error) {
		if err != nil {
			fmt.Println("machine:", err)
			select {} // the first process must not end
		}
	}
	for _, name := range machineModules {
		f, err := os.Open("/" + name + ".ko")
		must(err)
		if err := unix.FinitModule(int(f.Fd()), "", 0); !errors.Is(err, syscall.EEXIST) {
			must(err)
		}
		must(f.Close())
	}
	for _, dir := range []string{"/dev", "/mnt", "/tmp"} {
		must(os.MkdirAll(dir, 0o700))
	}
	must(syscall.Mount("dev", "/dev", "devtmpfs", 0, ""))
	for range 100 { // the disk appears a moment after its driver
		if _, err := os.Stat("/dev/vda"); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	must(syscall.Mount("/dev/vda", "/mnt", "ext4", syscall.MS_NOATIME, ""))
	must(os.Setenv("QUEUE_DIR", "/mnt/journal"))
	childWorkload()
}

// TestMachineCut pulls the plug of a whole machine: the workload runs in a guest
// with a kernel and a file system of its own, at a seeded moment the emulator is
// killed, and what its disk holds is mounted and held against what the guest had
// said on its serial line. What the guest's kernel had not written is gone.
func TestMachineCut(t *testing.T) {
	if *machineCuts == 0 {
		t.Skip("a soak: -machine.cuts, -machine.kernel")
	}
	if os.Geteuid() != 0 {
		needed(t, "mounting an image needs root")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		needed(t, err.Error())
	}
	base := t.TempDir()
	disk, copied, mount := filepath.Join(base, "disk.img"), filepath.Join(base, "copy.img"), filepath.Join(base, "mount")
	initrd := filepath.Join(base, "initrd")
	if err := os.WriteFile(initrd, machineFiles(t), 0o600); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(*crashSeed, 9))
	acked, total := make(map[uint64]string), 0
	for cut := range *machineCuts {
		if cut%10 == 0 {
			makeImage(t, disk, 512<<20)
			clear(acked)
		}
		moment, size := time.Duration(300+random.IntN(4000))*time.Millisecond, 0
		if cut%5 == 3 { // Badger turns to new logs
			moment, size = moment+4*time.Second, 30<<10
		}
		before := len(acked)
		cmd := exec.Command(qemu, "-accel", "tcg", "-cpu", "max", "-m", "768", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
			"-kernel", filepath.Join(*machineKernel, "vmlinuz"), "-initrd", initrd,
			"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 QUEUE_CHILD=machine QUEUE_LIFE=%d QUEUE_SIZE=%d", cut, size),
			"-drive", "file="+disk+",if=virtio,format=raw,cache=none")
		runMachine(t, cmd, moment, acked)
		total += len(acked) - before
		if cut%10 == 9 {
			t.Logf("%d cut, %d acknowledged", cut+1, total)
		}
		if out, err := exec.Command("cp", "--sparse=always", disk, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v, %s", err, out)
		}
		mountImage(t, copied, mount, lazily)
		s := open(t, filepath.Join(mount, "journal"))
		checkWorkload(t, s, acked)
		shut(t, s)
		unmount(t, mount)
		if t.Failed() {
			t.Fatalf("-crash.seed=%d, cut %d, %v after opening", *crashSeed, cut, moment)
		}
	}
	t.Logf("seed %d: %d machines cut, %d acknowledged, 0 lost", *crashSeed, *machineCuts, total)
	if total < *machineCuts { // a busy host may give one of them no time
		t.Error("next to nothing was acknowledged")
	}
}

// machinePatience is how long a machine may take to start and to be cut: an emulated
// one takes ten seconds where nothing else runs.
const machinePatience = 10 * time.Minute

// runMachine collects what a machine says until it is killed, a while after its
// journal is open.
func runMachine(t *testing.T, cmd *exec.Cmd, after time.Duration, acked map[uint64]string) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive the test
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(machinePatience, func() { cmd.Process.Kill() })
	defer late.Stop()
	var said bytes.Buffer
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // and what it was about to say does not count
		}
		line = strings.TrimSpace(line)
		if strings.Contains(line, "open=") { // behind what the firmware has left on the line
			time.AfterFunc(after, func() { cmd.Process.Kill() })
			continue
		}
		number, id, ok := strings.Cut(strings.TrimPrefix(line, "acked="), " ")
		if seq, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
			acked[seq] = id
		} else if said.Len() < 4000 {
			fmt.Fprintln(&said, line)
		}
	}
	_ = cmd.Wait() // it was killed
	if strings.Contains(said.String(), "machine:") || strings.Contains(said.String(), "commit:") {
		t.Fatalf("the machine said %s", &said)
	}
}

// machineFiles is the first file system of the machine: this test as its first
// process, and the modules.
func machineFiles(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	add := func(name string, mode int, data []byte) {
		head := "070701"
		for _, n := range []int{b.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
			head += fmt.Sprintf("%08x", n)
		}
		b.WriteString(head + name + "\x00")
		b.Write(make([]byte, -b.Len()&3))
		b.Write(data)
		b.Write(make([]byte, -b.Len()&3))
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	add("init", syscall.S_IFREG|0o755, read(self)) // built without C: nothing else is there to load
	for _, name := range machineModules {
		add(name+".ko", syscall.S_IFREG|0o644, read(filepath.Join(*machineKernel, name+".ko")))
	}
	add("TRAILER!!!", 0, nil)
	return b.Bytes()
}
