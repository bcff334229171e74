package archive

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Write writes an archive: dump calls its function for each item.
func Write(w io.Writer, h Head, signer ed25519.PrivateKey, dump func(fn func(item []byte) error) error) error {
	public, err := parseRecipient(h.To)
	if err != nil {
		return err
	}
	h.Version = version
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	encapsulated, sender, err := hpke.NewSender(public, kdf, aead, append([]byte(sealInfo), head...))
	if err != nil {
		return fmt.Errorf("seal an archive: %w", err)
	}
	sum := sha256.New()
	s := &sealer{out: io.MultiWriter(w, sum), sender: sender}
	s.write([]byte(magic))
	s.part(head)
	s.part(encapsulated)
	err = dump(func(item []byte) error {
		if len(item) == 0 || len(item) > maxItem {
			return fmt.Errorf("an item of %d bytes", len(item))
		}
		s.plain = append(binary.BigEndian.AppendUint32(s.plain, uint32(len(item))), item...)
		if len(s.plain) >= chunk {
			s.flush(false)
		}
		return s.err
	})
	if err != nil {
		return err
	}
	s.flush(true)
	s.write(make([]byte, 4))
	if s.err != nil {
		return fmt.Errorf("write an archive: %w", s.err)
	}
	_, err = w.Write(ed25519.Sign(signer, append([]byte(signDomain), sum.Sum(nil)...)))
	return err
}

// sealer keeps the first failure.
type sealer struct {
	out    io.Writer
	sender *hpke.Sender
	plain  []byte
	err    error
}

func (s *sealer) write(b []byte) {
	if s.err == nil {
		_, s.err = s.out.Write(b)
	}
}

func (s *sealer) part(b []byte) {
	s.write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
	s.write(b)
}

// flush seals what there is. Chunks count by themselves; the last one says that it is.
func (s *sealer) flush(last bool) {
	if s.err != nil {
		return
	}
	sealed, err := s.sender.Seal(place(last), s.plain)
	clear(s.plain)
	s.plain = s.plain[:0]
	if s.err = err; err == nil {
		s.part(sealed)
	}
}

func place(last bool) []byte {
	if last {
		return []byte("last")
	}
	return []byte("more")
}
