package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

type kit struct {
	t      *testing.T
	key    *Key
	signer ed25519.PrivateKey
}

func newKit(t *testing.T) kit {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return kit{t, key, signer}
}

func (k kit) public() ed25519.PublicKey { return k.signer.Public().(ed25519.PublicKey) }

func (k kit) write(items [][]byte) []byte {
	k.t.Helper()
	var out bytes.Buffer
	err := Write(&out, Head{Archive: "a1", To: k.key.Recipient(), Made: time.Unix(0, 0).UTC(), Sequence: 7}, k.signer, func(fn func([]byte) error) error {
		for _, item := range items {
			if err := fn(item); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return out.Bytes()
}

func (k kit) read(file []byte) (items [][]byte, err error) {
	r, err := Open(bytes.NewReader(file), k.key, k.public())
	if err != nil {
		return nil, err
	}
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		if err != nil {
			return items, err
		}
		items = append(items, bytes.Clone(item))
	}
}

func same(a, b [][]byte) bool {
	return len(a) == len(b) && bytes.Equal(bytes.Join(a, []byte("|")), bytes.Join(b, []byte("|")))
}

func TestThereAndBack(t *testing.T) {
	k := newKit(t)
	for _, sizes := range [][]int{{}, {1}, {chunk}, {chunk - 4}, {maxItem}, {100, maxItem, 3, chunk, chunk, 5}} {
		var items [][]byte
		for i, n := range sizes {
			items = append(items, bytes.Repeat([]byte{byte('a' + i)}, n))
		}
		file := k.write(items)
		got, err := k.read(file)
		if err != nil || !same(got, items) {
			t.Errorf("sizes %v: %d items, %v", sizes, len(got), err)
		}
		if len(items) > 0 && bytes.Contains(file, bytes.Repeat([]byte{'a'}, 20)) {
			t.Error("an item is readable")
		}
	}
	text, err := k.key.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKey(text)
	if err != nil || again.Recipient() != k.key.Recipient() {
		t.Errorf("the key read again: %v", err)
	}
	if out := fmt.Sprintf("%v %+v %#v %s %x", k.key, k.key, *k.key, k.key, k.key); strings.Contains(out, string(text[25:60])) {
		t.Error("a key was printed")
	}
}

// Every archive that is not the one that was written for this machine is refused,
// with a reason, before an item of it is told.
func TestRefused(t *testing.T) {
	k := newKit(t)
	items := [][]byte{bytes.Repeat([]byte("x"), chunk), []byte("second"), bytes.Repeat([]byte("y"), chunk)}
	file := k.write(items)
	var why *Refused
	for i := 0; i < len(file); i += 1 + len(file)/900 {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if got, err := k.read(bad); !errors.As(err, &why) || len(got) > 0 {
			t.Errorf("byte %d: %d items, %v", i, len(got), err)
		}
		if got, err := k.read(file[:i]); !errors.As(err, &why) || len(got) > 0 {
			t.Errorf("cut at %d: %d items, %v", i, len(got), err)
		}
	}
	other := newKit(t)
	for what, c := range map[string]struct {
		kit  kit
		file []byte
		says string
	}{
		"another machine's key": {kit{t, other.key, k.signer}, file, "for another machine"},
		"another terminal":      {kit{t, k.key, other.signer}, file, "not this terminal's"},
		"something after it":    {k, append(bytes.Clone(file), 0), "not this terminal's"},
		"another version":       {k, bytes.Replace(file, []byte(`"version":1`), []byte(`"version":0`), 1), "version 0"},
		"no archive":            {k, []byte("%PDF-1.7 and so on, for quite a while"), "no archive"},
		"nothing":               {k, nil, "no archive"},
	} {
		if _, err := c.kit.read(c.file); !errors.As(err, &why) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, to := range []string{"", "bob", recipientPrefix, k.key.Recipient()[:50], strings.Replace(k.key.Recipient(), "tapkeeper-import-", "tapkeeper-import-A", 1)} {
		if err := CheckRecipient(to); !errors.As(err, &why) {
			t.Errorf("recipient %q: %v", to, err)
		}
	}
}

// Chunks cannot be left out, moved or ended early, even by who can sign.
func TestChunksHoldTogether(t *testing.T) {
	k := newKit(t)
	file := k.write([][]byte{bytes.Repeat([]byte("x"), chunk), bytes.Repeat([]byte("y"), chunk), []byte("z")})
	cut := func(drop int) []byte {
		parts, tail := split(t, file)
		var out []byte
		for i, p := range parts {
			if i != drop {
				out = append(out, p...)
			}
		}
		return resign(k, append(out, tail...))
	}
	parts, _ := split(t, file)
	if len(parts) != 6 { // magic, head, key, three chunks
		t.Fatalf("%d parts", len(parts))
	}
	if got, err := k.read(cut(-1)); err != nil || len(got) != 3 {
		t.Fatalf("signed again: %v", err)
	}
	for drop := 3; drop < len(parts); drop++ {
		if _, err := k.read(cut(drop)); err == nil {
			t.Errorf("without chunk %d: read", drop-3)
		}
	}
}

// split is an archive in its parts, and its end without the signature.
func split(t *testing.T, file []byte) (parts [][]byte, tail []byte) {
	t.Helper()
	parts = append(parts, file[:len(magic)])
	for rest := file[len(magic):]; ; {
		n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		if n == 0 {
			return parts, rest[:4]
		}
		parts = append(parts, rest[:4+n])
		rest = rest[4+n:]
	}
}

func resign(k kit, body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), ed25519.Sign(k.signer, append([]byte(signDomain), sum[:]...))...)
}
