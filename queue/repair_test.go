package queue

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// repair makes the checksum right again that covers a byte of a file, as a hand
// without the key can. It says whether there is one that could be made right.
func repair(name string, data []byte, at int) bool {
	switch {
	case name == anchorName:
		return repairKeyPage(data, at)
	case strings.HasSuffix(name, ".mem"):
		return repairLog(data, at)
	case strings.HasSuffix(name, ".sst"):
		return repairTable(data, at)
	case strings.HasSuffix(name, badger.ManifestFilename):
		return repairManifest(data, at)
	}
	return false
}

// repairKeyPage: the slots are under a key, the pages of the wrapped key under a hash.
func repairKeyPage(data []byte, at int) bool {
	for _, page := range keyPages {
		if p := data[page*pageSize:]; at >= int(page)*pageSize && at < int(page)*pageSize+keyPageLen-32 {
			sum := sha256.Sum256(p[:keyPageLen-32])
			copy(p[keyPageLen-32:], sum[:])
			return true
		}
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// repairLog walks the entries as Badger does: meta(1) user meta(1) and the lengths
// of key and value and the expiry as varints, key, value, CRC.
func repairLog(data []byte, at int) bool {
	for from := logHead; from < len(data); {
		n, total := from+2, uint64(0)
		for range 3 {
			v, used := binary.Uvarint(data[min(n, len(data)):])
			if used <= 0 {
				return false
			}
			if n += used; total+v < total || total+v > 1<<24 {
				return false
			}
			total += v
		}
		// the third varint is the expiry and no length; of ours it is 0
		end := n + int(total)
		if end+4 > len(data) || end == from {
			return false
		}
		if at >= from && at < end {
			binary.BigEndian.PutUint32(data[end:], crc32.Checksum(data[from:end], castagnoli))
			return true
		}
		from = end + 4
	}
	return false
}

// repairTable finds the block, or the index, that a byte lies in; see checkTable.
func repairTable(data []byte, at int) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // the change hit what leads to the checksum
		}
	}()
	rest, err := takeSum(data)
	if err != nil {
		return false
	}
	cut := len(rest.body) - 4
	from := cut - int(binary.BigEndian.Uint32(rest.body[cut:]))
	if at >= from && at < cut {
		return putSum(data, rest.body[from:cut])
	}
	index := fb.GetRootAsTableIndex(data[from:cut], 0)
	var block fb.BlockOffset
	for i := range index.OffsetsLength() {
		index.Offsets(&block, i)
		if b := data[block.Offset() : block.Offset()+block.Len()]; at >= int(block.Offset()) && at < int(block.Offset()+block.Len()) {
			part, err := takeSum(b)
			return err == nil && at < int(block.Offset())+len(part.body) && putSum(b, part.body)
		}
	}
	return false
}

// putSum writes the checksum of body at the end of b where it has the same length
// as the one before.
func putSum(b, body []byte) bool {
	sum, err := proto.Marshal(&pb.Checksum{Algo: pb.Checksum_CRC32C, Sum: uint64(crc32.Checksum(body, castagnoli))})
	cut := len(b) - 4
	if n := int(binary.BigEndian.Uint32(b[cut:])); err != nil || len(sum) != n {
		return false
	}
	copy(b[cut-len(sum):], sum)
	return true
}

// repairManifest: a head of 8 bytes, then changes with length(4) and CRC(4).
func repairManifest(data []byte, at int) bool {
	for from := 8; from+8 <= len(data); {
		n := int(binary.BigEndian.Uint32(data[from:]))
		end := from + 8 + n
		if n < 0 || end > len(data) {
			return false
		}
		if at >= from+8 && at < end {
			binary.BigEndian.PutUint32(data[from+4:], crc32.Checksum(data[from+8:end], castagnoli))
			return true
		}
		from = end
	}
	return false
}

// One flipped bit whose checksum was made right again: only the seals, the chain and
// the anchor are left to notice it. What Verify passes must be as it was. A reader
// alone may be given the sealed value of an earlier commit, when the flip hits the
// version under which Badger keeps it: that is a restored cell, and Verify names it.
func TestFlippedByteWithChecksum(t *testing.T) {
	const seed = 20261125
	sm := makeSample(t)
	var files []string
	for name, f := range sm.killed {
		if used, _ := usedBytes(name, f); slices.ContainsFunc(used, func(at int) bool { return at < len(f.data) && repair(name, bytes.Clone(f.data), at) }) {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	if len(files) < 4 {
		t.Fatalf("checksums are known of %v only", files)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			f := sm.killed[name]
			random := rand.New(rand.NewPCG(seed, uint64(len(f.data))))
			used, _ := usedBytes(name, f)
			noticed := make(map[string]int)
			for want, tries := scaled(120), 0; want > 0 && tries < 100*scaled(120); tries++ {
				at, bit := used[random.IntN(len(used))], byte(1)<<random.IntN(8)
				if at >= len(f.data) {
					continue
				}
				data := bytes.Clone(f.data)
				data[at] ^= bit
				if !repair(name, data, at) {
					continue
				}
				want--
				broken := maps.Clone(sm.killed)
				broken[name] = imageFile{f.size, data}
				noticed[sm.judgeRepaired(t, broken, fmt.Sprintf("seed %d, byte %d, bit %#x", seed, at, bit))]++
			}
			t.Logf("%v", noticed)
		})
	}
}

// judgeRepaired is judge without the reader that has not run Verify.
func (sm *sample) judgeRepaired(t *testing.T, m image, what string) string {
	t.Helper()
	base := quickDir(t)
	defer os.RemoveAll(base)
	readers := *sm
	readers.records = nil
	return readers.judgeIn(t, base, m, what)
}
