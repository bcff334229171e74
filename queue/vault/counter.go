package vault

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// CounterIndex is the counter's place in a TPM unless the settings name another:
// in the range that is the owner's (TCG registry of reserved handles, 2.2.2).
const (
	CounterIndex = 0x0180_5450
	FirstIndex   = 0x0180_0000
	LastIndex    = 0x01BF_FFFF
)

// Counter is a number in a TPM that only goes up, also when its index is removed and
// made again. It needs what a sealed key needs: the owner's hierarchy without a password.
type Counter struct {
	device string
	index  tpm2.TPMHandle
}

// Count is where a counter stands.
type Count struct {
	TPM   []byte // name of the storage key: which TPM it is, and since which clearing
	Value uint64 // 0: there is none yet
}

// Counter is one in the TPM that has sealed the key. nil: no TPM has.
func (s *Source) Counter(index uint32) *Counter {
	form, is := s.form.(sealed)
	if !is {
		return nil
	}
	return &Counter{form.settings.TPM, tpm2.TPMHandle(index)}
}

// Index is the counter's place.
func (c *Counter) Index() uint32 { return uint32(c.index) }

// Read tells where the counter stands, and changes nothing.
func (c *Counter) Read() (Count, error) { return c.do(false) }

// Increment counts one up, and makes the counter where there is none. Each is a write
// to a memory that wears out: a few a day, never one a payment.
func (c *Counter) Increment() (Count, error) { return c.do(true) }

func (c *Counter) do(up bool) (n Count, err error) {
	t, err := openTPM(c.device)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(t.explainCounter(c.index, err), t.close()) }()
	parent, err := t.parent()
	if err != nil {
		return n, err
	}
	defer t.flush(parent.ObjectHandle)
	n.TPM = parent.Name.Buffer
	name, err := t.counterName(c.index)
	if errors.Is(err, tpm2.TPMRCHandle) { // there is none
		if !up {
			return n, nil
		}
		if err = t.defineCounter(parent, c.index); err == nil {
			name, err = t.counterName(c.index)
		}
	}
	if err != nil {
		return n, err
	}
	if up {
		if err := t.countUp(parent, c.index, *name); err != nil {
			return n, err
		}
		if name, err = t.counterName(c.index); err != nil { // the first time changes it
			return n, err
		}
	}
	n.Value, err = t.count(parent, c.index, *name)
	return n, err
}

// owner authorises by a session that the storage key has salted: whoever stands
// between the TPM and us cannot answer in its place (TPM 2.0 library, part 1, 19.6).
func owner(parent *tpm2.CreatePrimaryResponse) (tpm2.AuthHandle, error) {
	public, err := parent.OutPublic.Contents()
	if err != nil {
		return tpm2.AuthHandle{}, fmt.Errorf("read the storage key: %w", err)
	}
	session := tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(parent.ObjectHandle, *public))
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: session}, nil
}

// counterAttributes: only the owner's hierarchy reads and counts, and failures do not lock the TPM.
func counterAttributes() tpm2.TPMANV {
	return tpm2.TPMANV{NT: tpm2.TPMNTCounter, OwnerWrite: true, OwnerRead: true, NoDA: true}
}

const counterSize = 8

var errOtherIndex = errors.New("it is in use for something else")

// counterName is the index's name: a hash of what it is. A false one fails in the
// session that uses it.
func (t *chip) counterName(index tpm2.TPMHandle) (*tpm2.TPM2BName, error) {
	answer, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("look at the index: %w", err)
	}
	public, err := answer.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("look at the index: %w", err)
	}
	want := counterAttributes()
	want.Written = public.Attributes.Written
	if public.Attributes != want || public.DataSize != counterSize {
		return nil, errOtherIndex
	}
	return tpm2.NVName(public)
}

func (t *chip) defineCounter(parent *tpm2.CreatePrimaryResponse, index tpm2.TPMHandle) error {
	auth, err := owner(parent)
	if err != nil {
		return err
	}
	_, err = tpm2.NVDefineSpace{AuthHandle: auth, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, Attributes: counterAttributes(), DataSize: counterSize,
	})}.Execute(t)
	if err != nil {
		return fmt.Errorf("make the counter: %w", err)
	}
	return nil
}

func (t *chip) countUp(parent *tpm2.CreatePrimaryResponse, index tpm2.TPMHandle, name tpm2.TPM2BName) error {
	auth, err := owner(parent)
	if err != nil {
		return err
	}
	if _, err = (tpm2.NVIncrement{AuthHandle: auth, NVIndex: tpm2.NamedHandle{Handle: index, Name: name}}).Execute(t); err != nil {
		return fmt.Errorf("count up: %w", err)
	}
	return nil
}

func (t *chip) count(parent *tpm2.CreatePrimaryResponse, index tpm2.TPMHandle, name tpm2.TPM2BName) (uint64, error) {
	auth, err := owner(parent)
	if err != nil {
		return 0, err
	}
	answer, err := tpm2.NVRead{AuthHandle: auth, NVIndex: tpm2.NamedHandle{Handle: index, Name: name}, Size: counterSize}.Execute(t)
	if errors.Is(err, tpm2.TPMRCNVUninitialized) { // made, and cut off before its first number
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the counter: %w", err)
	}
	if len(answer.Data.Buffer) != counterSize {
		return 0, errAnswer
	}
	return binary.BigEndian.Uint64(answer.Data.Buffer), nil
}

func (t *chip) explainCounter(index tpm2.TPMHandle, err error) error {
	where := fmt.Sprintf("TPM %s, index %#08x", t.device, uint32(index))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOtherIndex):
		return &Error{where, err.Error(), "set keys.tpm_counter to an index that is free: tpm2_getcap handles-nv-index"}
	case errors.Is(err, tpm2.TPMRCNVSpace):
		return &Error{where, "the TPM has no room for a counter", "remove an index that nobody needs: tpm2_getcap handles-nv-index, tpm2_nvundefine"}
	}
	return &Error{where, firstLine(err.Error()), "tpm2_nvreadpublic shows the index; the owner's hierarchy must have no password"}
}
