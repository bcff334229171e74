package readertest

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// needPrivate skips where the machine's own pcscd answers instead; CI has namespaces.
func needPrivate(t *testing.T, p *PCSCD) {
	t.Helper()
	if p.private {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no namespaces here")
	}
	t.Skip("no namespaces here: the machine's pcscd answers instead")
}

func TestPrivatePCSCD(t *testing.T) {
	p := VPCD(t)
	needPrivate(t, p)
	// The driver asks a phone for its ATR as soon as it sees one.
	asked := make(chan struct{})
	phone := atrPhone{asked: asked}
	field := DialField{Network: "tcp", Address: p.Address}
	if err := field.Present(&phone); err != nil {
		t.Fatal(err)
	}
	defer field.Remove()
	select {
	case <-asked:
	case <-time.After(patience):
		t.Error("the virtual reader does not ask for the ATR")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("unix", p.Socket); err == nil {
		conn.Close()
		t.Error("pcscd still listens after Close")
	}
}

const patience = 5 * time.Second

type atrPhone struct {
	Loop
	asked chan struct{}
}

func (p *atrPhone) ATR() []byte {
	select {
	case <-p.asked:
	default:
		close(p.asked)
	}
	return ATR()
}

func TestTwoPrivatePCSCDsSideBySideAndOneCrash(t *testing.T) {
	one := VPCD(t)
	needPrivate(t, one)
	two, err := StartPCSCD(t.Context(), filepath.Join(os.TempDir(), filepath.Base(one.dir)+"-2"))
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(two.dir)
	defer two.Close()
	if one.Address == two.Address || one.Socket == two.Socket {
		t.Errorf("they share %s or %s", one.Address, one.Socket)
	}
	if err := two.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-two.exited
	again, err := StartPCSCD(t.Context(), two.dir) // over the dead one's socket
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if conn, err := net.Dial("unix", one.Socket); err != nil {
		t.Errorf("the first one suffered: %v", err)
	} else {
		conn.Close()
	}
}

type fakeTB struct {
	testing.TB
	failed, skipped bool
}

func (f *fakeTB) Helper()               {}
func (f *fakeTB) Fatalf(string, ...any) { f.failed = true }
func (f *fakeTB) Skipf(string, ...any)  { f.skipped = true }

func TestMissingPCSCDFailsInCIAndSkipsElsewhere(t *testing.T) {
	for _, tc := range []struct {
		ci              string
		failed, skipped bool
	}{{"true", true, false}, {"", false, true}} {
		t.Setenv("CI", tc.ci)
		var f fakeTB
		missing(&f, ErrNoPCSCD)
		if f.failed != tc.failed || f.skipped != tc.skipped {
			t.Errorf("CI=%q: failed %v, skipped %v", tc.ci, f.failed, f.skipped)
		}
	}
}
