package archive

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash"
	"io"
)

// Reader gives the items of an archive.
type Reader struct {
	Head Head

	file      *bufio.Reader
	sum       hash.Hash // of what was read since; it must come to want
	want      []byte
	recipient *hpke.Recipient
	plain     []byte
	last      bool
}

// Open verifies an archive: version, terminal's signature over every byte, recipient.
// It says what is wrong as *Refused.
func Open(f io.ReadSeeker, key *Key, signer ed25519.PublicKey) (*Reader, error) {
	want, err := digest(f, signer)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r := &Reader{sum: sha256.New(), want: want}
	r.file = bufio.NewReader(f)
	head, err := r.begin()
	if err != nil {
		return nil, err
	}
	if r.Head.To != key.Recipient() {
		return nil, refuse("it is for another machine, or for a key that this one has used already")
	}
	encapsulated, err := r.part(maxHead)
	if err != nil {
		return nil, err
	}
	r.recipient, err = hpke.NewRecipient(encapsulated, key.private(), kdf, aead, append([]byte(sealInfo), head...))
	if err != nil {
		return nil, refuse("its seal does not fit")
	}
	return r, nil
}

// Peek reads what everybody may read, and verifies nothing.
func Peek(f io.Reader) (Head, error) {
	r := &Reader{sum: sha256.New(), file: bufio.NewReader(f)}
	_, err := r.begin()
	return r.Head, err
}

func (r *Reader) begin() (head []byte, err error) {
	begin := make([]byte, len(magic))
	if err := r.full(begin); err != nil || string(begin) != magic {
		return nil, refuse("it is no archive of tapkeeper")
	}
	if head, err = r.part(maxHead); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(head, &r.Head); err != nil {
		return nil, refuse("its head cannot be read")
	}
	if r.Head.Version != version {
		return nil, refuse("it has version %d, this program reads %d", r.Head.Version, version)
	}
	return head, nil
}

// digest reads the whole file and holds it against its signature.
func digest(f io.ReadSeeker, signer ed25519.PublicKey) ([]byte, error) {
	if _, err := Peek(f); err != nil { // another version has another signature
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	body := size - signLen
	if body < int64(len(magic)) {
		return nil, refuse("it is cut off")
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, body); err != nil {
		return nil, err
	}
	signature := make([]byte, signLen)
	if _, err := io.ReadFull(f, signature); err != nil {
		return nil, err
	}
	want := sum.Sum(nil)
	if !ed25519.Verify(signer, append([]byte(signDomain), want...), signature) {
		return nil, refuse("the signature is not this terminal's: it was cut, changed, or made by another terminal")
	}
	return want, nil
}

// Next returns an item, which is the caller's until the next one, and io.EOF after
// the last, when the file was read to its end as it was verified.
func (r *Reader) Next() ([]byte, error) {
	for len(r.plain) == 0 {
		if r.last {
			return nil, r.end()
		}
		if err := r.chunk(); err != nil {
			return nil, err
		}
	}
	if len(r.plain) < 4 {
		return nil, refuse("an item is cut off")
	}
	n := binary.BigEndian.Uint32(r.plain)
	rest := r.plain[4:]
	if n == 0 || int64(n) > int64(len(rest)) {
		return nil, refuse("an item is cut off")
	}
	r.plain = rest[n:]
	return rest[:n:n], nil
}

func (r *Reader) chunk() error {
	sealed, err := r.part(maxChunk)
	if err != nil {
		return err
	}
	// The last chunk is followed by the end, and only it.
	after, err := r.file.Peek(4)
	if err != nil {
		return refuse("it is cut off")
	}
	r.last = binary.BigEndian.Uint32(after) == 0
	if r.plain, err = r.recipient.Open(place(r.last), sealed); err != nil {
		return refuse("a part of it was changed or left out")
	}
	return nil
}

func (r *Reader) end() error {
	if err := r.full(make([]byte, 4)); err != nil {
		return err
	}
	if !bytes.Equal(r.sum.Sum(nil), r.want) {
		return refuse("it was changed while it was read")
	}
	if n, err := r.file.Discard(signLen + 1); n != signLen || !errors.Is(err, io.EOF) {
		return refuse("something follows its end")
	}
	return io.EOF
}

func (r *Reader) part(most uint32) ([]byte, error) {
	var size [4]byte
	if err := r.full(size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > most {
		return nil, refuse("a part of it has no sensible length")
	}
	b := make([]byte, n)
	return b, r.full(b)
}

func (r *Reader) full(b []byte) error {
	if _, err := io.ReadFull(r.file, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return refuse("it is cut off")
		}
		return err
	}
	r.sum.Write(b)
	return nil
}
