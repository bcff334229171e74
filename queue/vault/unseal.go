package vault

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// take is TPM2_Unseal. The library would copy the answer to the heap before it
// deciphers it; here it is deciphered in the page that it came into, and the key
// goes from there into its own (TPM 2.0 library, part 3, 12.7).
func (t *chip) take(item *tpm2.LoadResponse, s tpm2.Session) (*Key, error) {
	if err := s.NewNonceCaller(); err != nil {
		return nil, err
	}
	names := []tpm2.TPM2BName{item.Name}
	auth, err := s.Authorize(tpm2.TPMCCUnseal, nil, nil, names, 0)
	if err != nil {
		return nil, fmt.Errorf("authorise: %w", err)
	}
	area := tpm2.Marshal(*auth)
	command := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	command = binary.BigEndian.AppendUint32(command, uint32(10+4+4+len(area)))
	command = binary.BigEndian.AppendUint32(command, uint32(tpm2.TPMCCUnseal))
	command = binary.BigEndian.AppendUint32(command, uint32(item.ObjectHandle))
	command = binary.BigEndian.AppendUint32(command, uint32(len(area)))
	answer, err := t.Send(append(command, area...))
	if err != nil {
		return nil, err
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(answer[6:])); rc != tpm2.TPMRCSuccess {
		return nil, rc
	}
	parameters, rest, err := areas(answer[10:])
	if err != nil {
		return nil, err
	}
	back, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](rest)
	if err != nil {
		return nil, fmt.Errorf("read the TPM's authorisation: %w", err)
	}
	if err := s.Validate(tpm2.TPMRCSuccess, tpm2.TPMCCUnseal, parameters, names, 0, back); err != nil {
		return nil, fmt.Errorf("somebody stands between the TPM and us: %w", err)
	}
	secret := parameters[2:]
	if int(binary.BigEndian.Uint16(parameters)) != Size || len(secret) != Size {
		return nil, errors.New("what it has sealed is not a master key")
	}
	if err := s.Decrypt(secret); err != nil {
		return nil, fmt.Errorf("decipher: %w", err)
	}
	return newKey(func(master []byte) error {
		copy(master, secret)
		clear(secret)
		return nil
	})
}

var errAnswer = errors.New("the TPM's answer is cut off")

// areas are the parameters and the authorisation of an answer.
func areas(b []byte) (parameters, auth []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errAnswer
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; n < 2 || uint64(n) > uint64(len(b)) {
		return nil, nil, errAnswer
	}
	return b[:n:n], b[n:], nil
}
