package queue

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"runtime"
)

// wrapper opens and makes key pages of a store: head ends with the store's id.
func wrapper(master, head []byte) (cipher.AEAD, error) {
	prk, err := extract(head[len(head)-idLen:], master)
	if err != nil {
		return nil, err
	}
	defer clear(prk)
	k, err := hkdf.Expand(sha256.New, prk, "tapkeeper queue 1 wrap", 32)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return newAEAD(k)
}

// extract is HKDF-Extract (RFC 5869, 2.2), HMAC-SHA-256 with salt as its key, for a
// master key of 32 bytes. The library's hash keeps the last bytes that it was given in
// a buffer on the heap, which nobody can wipe, so that a search of the process's
// memory would find the master key for as long as it runs. Here the hash gets whole
// blocks, which it does not keep, and the state is taken out of it instead of a sum.
func extract(salt, master []byte) ([]byte, error) {
	const block = sha256.BlockSize
	blocks := make([]byte, 2*block)
	defer clear(blocks)
	defer burn()
	pad(blocks, salt, 0x36)
	n := copy(blocks[block:], master)
	blocks[block+n] = 0x80 // FIPS 180-4, 5.1.1
	binary.BigEndian.PutUint64(blocks[2*block-8:], uint64(block+n)*8)
	h := sha256.New()
	h.Write(blocks)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, err
	}
	const magic = 4 // before the eight words of the state
	inner := state[magic : magic+sha256.Size]
	defer clear(state)
	h.Reset()
	pad(blocks[:block], salt, 0x5C)
	h.Write(blocks[:block])
	h.Write(inner)
	return h.Sum(nil), nil
}

// pad is the key of an HMAC, made a block.
func pad(block, key []byte, with byte) {
	clear(block)
	copy(block, key)
	for i := range sha256.BlockSize {
		block[i] ^= with
	}
}

// burn writes over what calls before it have left below on the stack.
//
//go:noinline
func burn() {
	var frame [4096]byte
	clear(frame[:])
	runtime.KeepAlive(&frame)
}
