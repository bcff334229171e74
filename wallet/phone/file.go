package phone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tapkeeper/emv/channel"
)

// File is a wallet file: the cards with their keys, and what they remember.
type File struct {
	Cards []Profile
	State State
}

const (
	fileFormat = "tapkeeper-phone-1"
	fileNotice = "SECRET: private keys of payment cards, in the clear"
	// maxFile bounds what is read: a full wallet with full answer lists is
	// about 4 MB.
	maxFile = 16 << 20
)

// walletFile is File as it is written. Secrets are Hex here and nowhere else.
type walletFile struct {
	Format string        `json:"format"`
	Notice string        `json:"notice"`
	Cards  []profileFile `json:"cards"`
	State  State         `json:"state"`
}

type profileFile struct {
	ADF          Hex        `json:"adf"`
	Kind         byte       `json:"kind"`
	Label        string     `json:"label"`
	Priority     byte       `json:"priority"`
	Qualifier    Hex        `json:"card_qualifier"`
	AIP          Hex        `json:"aip"`
	AFL          Hex        `json:"afl"`
	PDOL         Hex        `json:"pdol"`
	CDOL1        Hex        `json:"cdol1"`
	Records      []Record   `json:"records"`
	Grant        Hex        `json:"grant,omitempty"`
	DeviceID     Hex        `json:"device_id"`
	KVN          byte       `json:"kvn"`
	Currency     Hex        `json:"account_currency"`
	Expiry       Hex        `json:"expiry"`
	Build        Hex        `json:"build"`
	Relay        RelayTimes `json:"relay"`
	SignKey      Hex        `json:"ds"`
	AgreeKey     Hex        `json:"dc"`
	ACKey        Hex        `json:"mk_ac"`
	ReferenceKey Hex        `json:"kref"`
}

func (p Profile) file() profileFile {
	return profileFile{p.ADF, p.Kind, p.Label, p.Priority, p.Qualifier, p.AIP, p.AFL, p.PDOL, p.CDOL1, p.Records,
		p.Grant, p.DeviceID, p.KVN, p.Currency, p.Expiry, p.Build, p.Relay, p.SignKey.Bytes(), p.AgreeKey.Bytes(),
		p.ACKey.Bytes(), p.ReferenceKey.Bytes()}
}

func (f profileFile) profile() Profile {
	return Profile{f.ADF, f.Kind, f.Label, f.Priority, f.Qualifier, f.AIP, f.AFL, f.PDOL, f.CDOL1, f.Records,
		f.Grant, f.DeviceID, f.KVN, f.Currency, f.Expiry, f.Build, f.Relay, channel.NewSecret(f.SignKey),
		channel.NewSecret(f.AgreeKey), channel.NewSecret(f.ACKey), channel.NewSecret(f.ReferenceKey)}
}

// EncodeProfile writes one card with its keys as JSON. The result is a secret.
func EncodeProfile(p Profile) ([]byte, error) { return json.MarshalIndent(p.file(), "", " ") }

// DecodeProfile reads what EncodeProfile wrote and validates it.
func DecodeProfile(b []byte) (Profile, error) {
	var f profileFile
	if err := decodeStrict(b, &f); err != nil {
		return Profile{}, fmt.Errorf("read the card: %w", err)
	}
	p := f.profile()
	return p, p.Validate()
}

// LoadFile reads a wallet file. Unknown fields are refused.
func LoadFile(path string) (File, error) {
	f, _, err := load(path)
	return f, err
}

// load also says which file it was.
func load(path string) (File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return File{}, nil, fmt.Errorf("read the wallet file: %w", err)
	}
	if len(b) > maxFile {
		return File{}, nil, fmt.Errorf("phone: wallet file %s: larger than %d bytes", path, maxFile)
	}
	var wf walletFile
	if err := decodeStrict(b, &wf); err != nil {
		return File{}, nil, fmt.Errorf("read the wallet file %s: %w", path, err)
	}
	if wf.Format != fileFormat {
		return File{}, nil, fmt.Errorf("phone: wallet file %s: format is not %s", path, fileFormat)
	}
	out := File{State: wf.State}
	for _, p := range wf.Cards {
		out.Cards = append(out.Cards, p.profile())
	}
	return out, info, nil
}

func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// SaveFile replaces a wallet file durably: when it returns nil the new content
// survives a power cut, and at any moment the path names the whole old or the
// whole new file. Only the owner may read it.
func SaveFile(path string, f File) error {
	wf := walletFile{Format: fileFormat, Notice: fileNotice, State: f.State}
	for _, p := range f.Cards {
		wf.Cards = append(wf.Cards, p.file())
	}
	b, err := json.MarshalIndent(wf, "", " ")
	if err != nil {
		return fmt.Errorf("encode the wallet file: %w", err)
	}
	if len(b) > maxFile {
		return fmt.Errorf("phone: wallet file: %d bytes, want at most %d", len(b), maxFile)
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	if err := writeThrough(tmp, b); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		os.Remove(tmp.Name())
		return err
	}
	return syncDir(dir)
}

func writeThrough(f *os.File, b []byte) error {
	_, err := f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the rename itself durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
