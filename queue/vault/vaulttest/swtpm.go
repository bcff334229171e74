// Package vaulttest starts a TPM for a test: swtpm, a whole TPM 2.0 in a process.
package vaulttest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TPM is one of a machine of its own. It ends with the test.
type TPM struct {
	t   testing.TB
	dir string
	cmd *exec.Cmd
	out bytes.Buffer
}

// patience is far above what swtpm needs for its start.
const patience = 20 * time.Second

// StartTPM starts one. Where there is no swtpm the test is skipped, under CI it fails.
func StartTPM(t testing.TB) *TPM {
	t.Helper()
	path, err := exec.LookPath("swtpm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("swtpm is missing: %v", err)
		}
		t.Skipf("swtpm is missing: %v", err)
	}
	dir, err := os.MkdirTemp("", "tpm") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &TPM{t: t, dir: dir}
	t.Cleanup(func() { s.Stop(); os.RemoveAll(dir) })
	s.start(path)
	return s
}

// Device is how the settings name it.
func (s *TPM) Device() string { return "unix:" + filepath.Join(s.dir, "s") }

func (s *TPM) start(path string) {
	s.t.Helper()
	s.cmd = exec.Command(path, "socket", "--tpm2", "--tpmstate", "dir="+s.dir,
		"--server", "type=unixio,path="+filepath.Join(s.dir, "s"), "--ctrl", "type=unixio,path="+filepath.Join(s.dir, "c"),
		"--flags", "not-need-init,startup-clear")
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		// Its socket has a name before it takes anybody.
		if conn, err := net.Dial("unix", filepath.Join(s.dir, "s")); err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(until) {
			s.Stop()
			s.t.Fatalf("swtpm does not start: %s", s.out.String())
		}
	}
}

// Stop ends it.
func (s *TPM) Stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.Remove(filepath.Join(s.dir, "s"))
}

// Restart is a new start of the machine: the PCRs begin anew.
func (s *TPM) Restart() {
	s.t.Helper()
	path := s.cmd.Path
	s.Stop()
	s.start(path)
}

// Extend changes a PCR, as another firmware would.
func (s *TPM) Extend(pcr int) {
	s.t.Helper()
	chip, err := linuxudstpm.Open(filepath.Join(s.dir, "s"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer chip.Close()
	_, err = tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{1}, 32)}}},
	}.Execute(chip)
	if err != nil {
		s.t.Fatal(err)
	}
}

// Undefine removes an index, as somebody who owns the TPM can.
func (s *TPM) Undefine(index uint32) {
	s.t.Helper()
	s.do(func(chip transport.TPM) error {
		public, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(index)}.Execute(chip)
		if err != nil {
			return err
		}
		_, err = tpm2.NVUndefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: tpm2.TPMHandle(index), Name: public.NVName},
		}.Execute(chip)
		return err
	})
}

// DefineOther makes an index that holds plain bytes, as another program would.
func (s *TPM) DefineOther(index uint32) {
	s.t.Helper()
	s.do(func(chip transport.TPM) error {
		_, err := tpm2.NVDefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
				NVIndex: tpm2.TPMHandle(index), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
				Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true},
			}),
		}.Execute(chip)
		return err
	})
}

// Clear takes the owner's keys and indices away, as the firmware's settings can.
func (s *TPM) Clear() {
	s.t.Helper()
	s.do(func(chip transport.TPM) error {
		_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(chip)
		return err
	})
}

func (s *TPM) do(fn func(chip transport.TPM) error) {
	s.t.Helper()
	chip, err := linuxudstpm.Open(filepath.Join(s.dir, "s"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer chip.Close()
	if err := fn(chip); err != nil {
		s.t.Fatal(err)
	}
}
