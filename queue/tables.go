package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

var errTable = errors.New("a checksum does not fit")

// checkTables reads every table that Badger's manifest lists, with its
// checksums, before Badger does: it follows the lengths in a table from a
// goroutine of its own and before checking them, so that a damaged one would
// end the process. A process that was killed may leave a table half written;
// it is not in the manifest, and Badger removes it.
func checkTables(dir string, o badger.Options) error {
	ids, _, err := listed(dir, o)
	if err != nil {
		return err
	}
	var missing []uint64
	var b []byte // of one table after the other
	for _, id := range ids {
		path := table.NewFilename(id, dir)
		b, err = readInto(b, path)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, id)
			continue
		}
		if err != nil {
			return fmt.Errorf("read a table: %w", err)
		}
		if err := checkTable(b); err != nil {
			return &DamageError{What: "database", Why: filepath.Base(path) + ": " + err.Error()}
		}
	}
	if len(missing) > 0 {
		return &missingError{missing}
	}
	return nil
}

// readInto reads a file into b, or a larger one.
func readInto(b []byte, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return b, err
	}
	b = slices.Grow(b[:0], int(info.Size()))[:info.Size()]
	_, err = io.ReadFull(f, b)
	return b, err
}

// listed reads the numbers of the tables in the manifest, and where it ends; none
// when there is no manifest yet.
func listed(dir string, o badger.Options) (ids []uint64, end int64, err error) {
	defer rescue(&err)
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the manifest: %w", err)
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return nil, 0, &DamageError{What: "database", Why: badger.ManifestFilename + ": " + firstLine(err.Error())}
	}
	return slices.Sorted(maps.Keys(m.Tables)), end, nil
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
	tables := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	for i := range tables.OffsetsLength() {
		tables.Offsets(&block, i)
		end := uint64(block.Offset()) + uint64(block.Len())
		if end > uint64(cut-int(n)) {
			return errTable
		}
		part, err := takeSum(b[block.Offset():end])
		if err != nil || y.VerifyChecksum(part.body, part.sum) != nil {
			return fmt.Errorf("block %d: %w", i, errTable)
		}
	}
	// Checksums that a hand has made right do not make the lengths right that they
	// cover, and what Badger does with those in a goroutine of its own ends the process.
	if _, err := table.OpenInMemoryTable(b, 0, &table.Options{ChkMode: options.NoVerification}); err != nil {
		return fmt.Errorf("%w: %s", errTable, firstLine(err.Error()))
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
