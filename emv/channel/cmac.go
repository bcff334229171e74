package channel

import (
	"crypto/aes"
	"crypto/cipher"
)

// encrypt is one ECB block.
func (k Key) encrypt(in [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	k.block().Encrypt(out[:], in[:])
	return out
}

// CMAC is AES-CMAC (NIST SP 800-38B) over the concatenated parts (scheme 6.3).
func CMAC(key Key, parts ...[]byte) [16]byte { return cmac(key.block(), parts) }

// CMACPlus is CMAC+ of scheme 6.3: T xor AES^-1(key)[T].
func CMACPlus(key Key, parts ...[]byte) [16]byte {
	b := key.block()
	t := cmac(b, parts)
	var d [16]byte
	b.Decrypt(d[:], t[:])
	for i := range t {
		t[i] ^= d[i]
	}
	return t
}

func cmac(b cipher.Block, parts [][]byte) [16]byte {
	var mac, sub [16]byte
	fill := 0 // bytes of the current block; a full block waits until more comes
	for _, p := range parts {
		for len(p) > 0 {
			if fill == len(mac) {
				b.Encrypt(mac[:], mac[:])
				fill = 0
			}
			n := min(len(p), len(mac)-fill)
			for i := range n {
				mac[fill+i] ^= p[i]
			}
			fill += n
			p = p[n:]
		}
	}
	b.Encrypt(sub[:], sub[:])
	double(&sub)
	if fill < len(mac) {
		mac[fill] ^= 0x80
		double(&sub)
	}
	for i := range mac {
		mac[i] ^= sub[i]
	}
	b.Encrypt(mac[:], mac[:])
	return mac
}

// double multiplies by x in GF(2^128).
func double(b *[16]byte) {
	carry := b[0] >> 7
	for i := range 15 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[15] = b[15]<<1 ^ carry*0x87
}

// FirstCounter is the phone's message counter for the encrypted r; encrypted
// records follow it one by one (scheme 6.2).
const FirstCounter uint16 = 0x8000

// CTR encrypts or decrypts data with the counter block counter ‖ 0 (scheme 6.2).
func CTR(key Key, counter uint16, data []byte) []byte {
	iv := [aes.BlockSize]byte{byte(counter >> 8), byte(counter)}
	out := make([]byte, len(data))
	cipher.NewCTR(key.block(), iv[:]).XORKeyStream(out, data)
	return out
}
