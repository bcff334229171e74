package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"tapkeeper/emv"
)

const (
	deviceBytes  = 8
	revokedBytes = 5 + 1 + 4 + 1 + 6 // RID, index, issuer serial, whole, device serial
)

var errPacked = errors.New("a stored hotlist does not have the form of one")

// PackBlocked gives the blocked devices, in order, for a store that vouches for
// its bytes; Unpack reads them.
func (h *Hotlist) PackBlocked() []byte {
	all := make([][]byte, 0, len(h.blocked))
	for d := range h.blocked {
		b := d.Bytes()
		all = append(all, b[:])
	}
	slices.SortFunc(all, bytes.Compare)
	return bytes.Join(all, nil)
}

// PackRevoked gives the lines of the CRL.
func (h *Hotlist) PackRevoked() []byte {
	all := make([][]byte, 0, len(h.revoked))
	for r := range h.revoked {
		line := append(r.rid[:len(r.rid):len(r.rid)], r.index)
		line = binary.BigEndian.AppendUint32(line, r.issuer)
		whole := byte(0)
		if r.whole {
			whole = 1
		}
		all = append(all, append(append(line, whole), r.device[:]...))
	}
	slices.SortFunc(all, bytes.Compare)
	return bytes.Join(all, nil)
}

// Unpack puts packed entries into a hotlist that has its versions and dates already.
func (h *Hotlist) Unpack(blocked, revoked []byte) error {
	if len(blocked)%deviceBytes != 0 || len(revoked)%revokedBytes != 0 {
		return errPacked
	}
	h.blocked, h.revoked = map[emv.DeviceID]bool{}, map[revocation]bool{}
	for d := range slices.Chunk(blocked, deviceBytes) {
		h.blocked[emv.NewDeviceID([8]byte(d))] = true
	}
	for line := range slices.Chunk(revoked, revokedBytes) {
		h.revoked[revocation{
			rid: [5]byte(line), index: line[5], issuer: binary.BigEndian.Uint32(line[6:]), whole: line[10] == 1, device: [6]byte(line[11:]),
		}] = true
	}
	return nil
}

// Blocks counts the blocked devices.
func (h *Hotlist) Blocks() int { return len(h.blocked) }

// Revokes counts the lines of the CRL.
func (h *Hotlist) Revokes() int { return len(h.revoked) }
