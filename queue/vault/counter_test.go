package vault

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/queue/vault/vaulttest"
)

// A TPM's counter goes up by one, through restarts, and from where it was after
// somebody has removed it; a cleared TPM is another one.
func TestCounter(t *testing.T) {
	chip := vaulttest.StartTPM(t)
	at := func(index uint32) *Counter {
		s, err := Parse("tpm:"+filepath.Join(t.TempDir(), "blob"), Settings{TPM: chip.Device()})
		if err != nil {
			t.Fatal(err)
		}
		return s.Counter(index)
	}
	must := func(n Count, err error) Count {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c := at(CounterIndex)
	if n := must(c.Read()); n.Value != 0 || len(n.TPM) == 0 {
		t.Errorf("before it is made: %+v", n)
	}
	first := must(c.Increment())
	chip.Restart()
	if n := must(c.Read()); n.Value != first.Value || !bytes.Equal(n.TPM, first.TPM) {
		t.Errorf("after a restart %+v, before %+v", n, first)
	}
	if n := must(c.Increment()); n.Value != first.Value+1 {
		t.Errorf("%d after %d", n.Value, first.Value)
	}
	chip.Undefine(CounterIndex)
	if n := must(c.Read()); n.Value != 0 {
		t.Errorf("removed: %+v", n)
	}
	if n := must(c.Increment()); n.Value <= first.Value+1 {
		t.Errorf("made again it stands at %d, and stood at %d", n.Value, first.Value+1)
	}
	chip.Clear()
	if n := must(c.Read()); n.Value != 0 || bytes.Equal(n.TPM, first.TPM) {
		t.Errorf("cleared: %+v", n)
	}
	chip.DefineOther(CounterIndex)
	for what, err := range map[string]error{"read": second(c.Read()), "count": second(c.Increment())} {
		refusedAs(t, what, err, "in use for something else")
	}
	chip.Stop()
	refusedAs(t, "no TPM", second(c.Read()), "TPM unix:")
	if s, err := Parse("file:/x", Settings{}); err != nil || s.Counter(CounterIndex) != nil {
		t.Errorf("a file's counter: %v, %v", s, err)
	}
}

func second(_ Count, err error) error {
	var e *Error
	if errors.As(err, &e) && strings.Contains(e.Error(), "\n") {
		return errors.New("more than a line")
	}
	return err
}
