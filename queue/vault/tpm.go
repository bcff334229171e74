package vault

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	// DefaultTPM is the kernel's own: it keeps its callers apart.
	DefaultTPM = "/dev/tpmrm0"
	// tpmPatience is above what a slow chip needs for its slowest command.
	tpmPatience = 30 * time.Second
	// tpmMost is more than any answer has (TPM 2.0 library, part 2: 4096 is usual).
	tpmMost = 4096
)

// blob is a file with a key that only one TPM opens.
type blob struct {
	Version int    `json:"version"`
	PCRs    []int  `json:"pcrs"`   // of the SHA-256 bank, whose values the key is bound to
	Parent  []byte `json:"parent"` // name of the storage key: which TPM it is
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

const blobVersion = 1

// sealed is a key in a blob. Its commands to the TPM are enciphered: whoever
// listens on the board's wires learns nothing.
type sealed struct{ settings Settings }

func (s sealed) read(path string) (*Key, error) {
	var b blob
	err := secretFile(path, 0o077, s.settings.Owner, func(text []byte) error {
		if err := json.Unmarshal(text, &b); err != nil || b.Version != blobVersion {
			return &Error{path, "not a sealed key of this version", "made with: tapkeeper queue seal-key"}
		}
		return nil
	})
	if err != nil {
		return nil, explain(path, err)
	}
	t, err := openTPM(s.settings.TPM)
	if err != nil {
		return nil, err
	}
	k, err := t.unseal(b)
	return k, errors.Join(t.explain(path, b, err), t.close())
}

func (s sealed) write(path string, k *Key) error {
	t, err := openTPM(s.settings.TPM)
	if err != nil {
		return err
	}
	b, err := t.seal(k, s.settings.PCRs)
	if err = errors.Join(t.explain(path, b, err), t.close()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(path, append(text, '\n'))
}

// chip is a TPM that answers into a page of its own.
type chip struct {
	device string
	rw     io.ReadWriteCloser
	answer *page
}

var _ transport.TPM = (*chip)(nil)

func openTPM(device string) (*chip, error) {
	var rw io.ReadWriteCloser
	var err error
	if path, is := strings.CutPrefix(device, "unix:"); is {
		rw, err = net.DialTimeout("unix", path, tpmPatience)
	} else {
		rw, err = os.OpenFile(device, os.O_RDWR, 0)
	}
	if err != nil {
		fix := "is there one? ls /dev/tpmrm0; the firmware's settings can switch it on"
		if errors.Is(err, os.ErrPermission) {
			fix = "the daemon's user needs the group tss, and the unit DeviceAllow=/dev/tpmrm0 rw"
		}
		return nil, &Error{"TPM " + device, reason(err), fix}
	}
	p, err := newPage()
	if err != nil {
		return nil, errors.Join(err, rw.Close())
	}
	return &chip{device, rw, p}, nil
}

func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

func (t *chip) close() error { return errors.Join(t.rw.Close(), t.answer.close()) }

// Send is one command. The answer is the caller's until the next one.
func (t *chip) Send(command []byte) ([]byte, error) {
	if d, ok := t.rw.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(time.Now().Add(tpmPatience)) // a device has none; the kernel has its own
	}
	clear(t.answer.bytes)
	if _, err := t.rw.Write(command); err != nil {
		return nil, fmt.Errorf("write to the TPM: %w", err)
	}
	const head = 10
	got, want := 0, head
	for got < want {
		n, err := t.rw.Read(t.answer.bytes[got:tpmMost])
		if got += n; got >= head {
			want = int(binary.BigEndian.Uint32(t.answer.bytes[2:]))
		}
		if want > tpmMost || n == 0 && err == nil {
			err = errors.New("an answer without sense")
		}
		if err != nil && got < want {
			return nil, fmt.Errorf("read from the TPM: %w", err)
		}
	}
	return t.answer.bytes[:got:got], nil
}

// parent makes the storage key: the same at each start of one TPM.
func (t *chip) parent() (*tpm2.CreatePrimaryResponse, error) {
	p, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("make the storage key: %w", err)
	}
	return p, nil
}

func (t *chip) flush(h tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h}.Execute(t) // the resource manager does when we leave
}

// private enciphers the first parameter of a command or an answer. Who stands
// between the TPM and us reads nothing (TPM 2.0 library, part 1, 21).
func private(p *tpm2.CreatePrimaryResponse, direction tpm2.AuthOption) ([]tpm2.AuthOption, error) {
	public, err := p.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("read the storage key: %w", err)
	}
	return []tpm2.AuthOption{tpm2.Salted(p.ObjectHandle, *public), direction}, nil
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	var numbers []uint
	for _, n := range pcrs {
		numbers = append(numbers, uint(n))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)},
	}}
}

func (t *chip) policy(s tpm2.TPMHandle, pcrs []int) error {
	if len(pcrs) == 0 {
		return nil
	}
	if _, err := (tpm2.PolicyPCR{PolicySession: s, Pcrs: selection(pcrs)}).Execute(t); err != nil {
		return fmt.Errorf("state the PCRs: %w", err)
	}
	return nil
}

// digest is what the key is bound to: the PCRs as they are now.
func (t *chip) digest(pcrs []int) ([]byte, error) {
	trial, done, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return nil, fmt.Errorf("begin a policy: %w", err)
	}
	defer func() { _ = done() }()
	if err := t.policy(trial.Handle(), pcrs); err != nil {
		return nil, err
	}
	d, err := tpm2.PolicyGetDigest{PolicySession: trial.Handle()}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("ask for the policy: %w", err)
	}
	return d.PolicyDigest.Buffer, nil
}

// seal gives a key to the TPM. The library's buffers of the command stay on the heap
// until they are used again (docs/durability.md, Memory).
func (t *chip) seal(k *Key, pcrs []int) (blob, error) {
	parent, err := t.parent()
	if err != nil {
		return blob{}, err
	}
	defer t.flush(parent.ObjectHandle)
	policy, err := t.digest(pcrs)
	if err != nil {
		return blob{}, err
	}
	options, err := private(parent, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return blob{}, err
	}
	var out *tpm2.CreateResponse
	err = k.Use(func(master []byte) (err error) {
		out, err = tpm2.Create{
			ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name},
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: master}),
			}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true}, // the policy alone opens it
				AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
			}),
		}.Execute(t, tpm2.HMAC(tpm2.TPMAlgSHA256, 16, options...))
		return err
	})
	if err != nil {
		return blob{}, fmt.Errorf("seal: %w", err)
	}
	return blob{blobVersion, pcrs, parent.Name.Buffer, out.OutPublic.Bytes(), out.OutPrivate.Buffer}, nil
}

var errOtherTPM = errors.New("another TPM has sealed it, or this one was cleared")

func (t *chip) unseal(b blob) (*Key, error) {
	parent, err := t.parent()
	if err != nil {
		return nil, err
	}
	defer t.flush(parent.ObjectHandle)
	if !bytes.Equal(parent.Name.Buffer, b.Parent) {
		return nil, errOtherTPM
	}
	item, err := tpm2.Load{
		ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name},
		InPrivate:    tpm2.TPM2BPrivate{Buffer: b.Private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](b.Public),
	}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer t.flush(item.ObjectHandle)
	options, err := private(parent, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return nil, err
	}
	session, done, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16, options...)
	if err != nil {
		return nil, fmt.Errorf("begin a policy: %w", err)
	}
	defer func() { _ = done() }()
	if err := t.policy(session.Handle(), b.PCRs); err != nil {
		return nil, err
	}
	return t.take(item, session)
}

// explain says in one line what a TPM's refusal means.
func (t *chip) explain(path string, b blob, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tpm2.TPMRCPolicyFail):
		return &Error{path, fmt.Sprintf("the TPM does not give the key away: PCR %s differ from what it was sealed to", words(b.PCRs)),
			"after a wanted change of firmware seal the kept copy anew: tapkeeper queue seal-key; after an unwanted one, find out who changed the machine"}
	case errors.Is(err, errOtherTPM), errors.Is(err, tpm2.TPMRCIntegrity):
		return &Error{path, errOtherTPM.Error(), "seal the kept copy of the key on this machine: tapkeeper queue seal-key"}
	}
	return &Error{"TPM " + t.device, firstLine(err.Error()), "tpm2_getcap properties-variable shows its state; a cleared or locked one needs the firmware's settings"}
}

func words(pcrs []int) string { return strings.Trim(fmt.Sprint(pcrs), "[]") }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
