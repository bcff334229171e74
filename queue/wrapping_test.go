package queue

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"testing"
)

// What is taken out of the hash is what the library calls HKDF-Extract.
func TestExtract(t *testing.T) {
	for range 200 {
		salt, master := make([]byte, idLen), make([]byte, 32)
		rand.Read(salt)
		rand.Read(master)
		want, err := hkdf.Extract(sha256.New, master, salt)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := extract(salt, master); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("salt %x: %x, %v, want %x", salt, got, err, want)
		}
	}
}
