package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// missingError: the manifest lists tables that are not there. Badger leaves such a
// manifest behind when its sync is refused: it removes the tables that it has just
// listed (handleMemTableFlush, runCompactDef), and what they held is still in the
// log, or in tables that the manifest has let go. It is damage until that is proven.
type missingError struct{ ids []uint64 }

func (e *missingError) Error() string { return e.Unwrap().Error() }

func (e *missingError) Unwrap() error {
	verb := " is missing"
	if len(e.ids) > 1 {
		verb = " are missing"
	}
	return &DamageError{What: "database", Why: names(e.ids) + verb}
}

func names(ids []uint64) string {
	var files []string
	for _, id := range ids {
		files = append(files, filepath.Base(table.NewFilename(id, "")))
	}
	return strings.Join(files, ", ")
}

// relisting is a change of the manifest: tables that it forgets, and tables that it
// lists again.
type relisting struct{ gone, back []uint64 }

// mend finds the relisting under which nothing that was committed is missing, by
// trying it on a copy that is verified whole, and carries it out. Without one, the
// files stay as they are.
func mend(o Options, lost *missingError) (healed string, err error) {
	dir := filepath.Join(o.Dir, databaseName)
	spare, err := spareTables(dir, databaseOptions(dir, nil))
	if err != nil {
		return "", errors.Join(lost, err)
	}
	plans := []relisting{{gone: lost.ids}}
	if len(spare) > 0 {
		plans = append(plans, relisting{lost.ids, spare})
	}
	for _, p := range plans {
		if err = p.try(o); err == nil {
			if err = p.write(dir); err != nil {
				break
			}
			return "the database had listed tables that it never kept (" + names(lost.ids) + "); nothing was in them alone", nil
		}
	}
	return "", fmt.Errorf("%w; and without: %w", lost, err)
}

// spareTables are whole tables that the manifest does not list.
func spareTables(dir string, o badger.Options) (ids []uint64, err error) {
	known, _, err := listed(dir, o)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		id, ok := table.ParseFileID(path)
		if !ok || slices.Contains(known, id) {
			continue
		}
		b, err := readInto(nil, path)
		if err != nil {
			return nil, fmt.Errorf("read a table: %w", err)
		}
		if checkTable(b) == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// try verifies a copy of the store with another manifest.
func (p relisting) try(o Options) (err error) {
	copied, remove, err := copyStore(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := p.write(filepath.Join(copied, databaseName)); err != nil {
		return err
	}
	o.Dir, o.HandedOver, o.Logger, o.trial = copied, true, nil, true
	s, err := Open(o)
	if err != nil {
		return err
	}
	_, err = s.Verify()
	return errors.Join(err, s.Close())
}

// write appends the change to the manifest as Badger does (manifest.go, addChanges):
// length(4), CRC-32C(4), change set. Half of it is cut off by whoever reads it.
func (p relisting) write(dir string) (err error) {
	o := databaseOptions(dir, nil)
	_, end, err := listed(dir, o)
	if err != nil {
		return err
	}
	var set pb.ManifestChangeSet
	for _, id := range p.gone {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
	}
	for _, id := range p.back {
		// Level 0 is the one whose tables may overlap.
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Compression: uint32(o.Compression)})
	}
	changes, err := proto.Marshal(&set)
	if err != nil {
		return fmt.Errorf("change the manifest: %w", err)
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(changes)))
	frame = binary.BigEndian.AppendUint32(frame, crc32.Checksum(changes, y.CastagnoliCrcTable))
	f, err := os.OpenFile(filepath.Join(dir, badger.ManifestFilename), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("change the manifest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("change the manifest: %w", err)
	}
	if _, err := f.WriteAt(append(frame, changes...), end); err != nil {
		return fmt.Errorf("change the manifest: %w", err)
	}
	return f.Sync()
}
