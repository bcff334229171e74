package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

var errTable = errors.New("a checksum does not fit")

// checkTables reads every table of Badger with its checksums before Badger
// does: it follows the lengths in a table from a goroutine of its own and
// before checking them, so that a damaged one would end the process.
func checkTables(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read a table: %w", err)
		}
		if err := checkTable(b); err != nil {
			return &DamageError{What: "database", Why: filepath.Base(path) + ": " + err.Error()}
		}
	}
	return nil
}

// checkTable follows the layout of Badger v4: blocks, index, index length(4),
// checksum, checksum length(4).
func checkTable(b []byte) (err error) {
	defer func() {
		if recover() != nil { // an unknown checksum algorithm, or lengths inside the index
			err = errTable
		}
	}()
	rest, err := takeSum(b)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	if len(rest.body) < 4 {
		return errTable
	}
	cut := len(rest.body) - 4
	n := binary.BigEndian.Uint32(rest.body[cut:])
	if uint64(n) > uint64(cut) {
		return errTable
	}
	index := rest.body[cut-int(n) : cut]
	if y.VerifyChecksum(index, rest.sum) != nil {
		return fmt.Errorf("index: %w", errTable)
	}
	table := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	for i := range table.OffsetsLength() {
		table.Offsets(&block, i)
		end := uint64(block.Offset()) + uint64(block.Len())
		if end > uint64(cut-int(n)) {
			return errTable
		}
		part, err := takeSum(b[block.Offset():end])
		if err != nil || y.VerifyChecksum(part.body, part.sum) != nil {
			return fmt.Errorf("block %d: %w", i, errTable)
		}
	}
	return nil
}

type summed struct {
	body []byte
	sum  *pb.Checksum
}

// takeSum splits body, checksum, checksum length(4).
func takeSum(b []byte) (summed, error) {
	if len(b) < 4 {
		return summed{}, errTable
	}
	cut := len(b) - 4
	n := binary.BigEndian.Uint32(b[cut:])
	if uint64(n) > uint64(cut) {
		return summed{}, errTable
	}
	sum := &pb.Checksum{}
	if proto.Unmarshal(b[cut-int(n):cut], sum) != nil {
		return summed{}, errTable
	}
	return summed{b[:cut-int(n)], sum}, nil
}
