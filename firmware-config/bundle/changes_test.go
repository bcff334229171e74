package bundle_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"tapkeeper/emv"
	"tapkeeper/firmware-config/bundle"
)

func numbered(from, to uint64) []emv.DeviceID {
	var all []emv.DeviceID
	for n := from; n < to; n++ {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		all = append(all, emv.NewDeviceID(b))
	}
	return all
}

// Changes apply to exactly one version, and leave the list that they came from as it is.
func TestChanges(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	first, err := (&bundle.Hotlist{}).WithExceptions(bundle.Changes[emv.DeviceID]{Version: 3, Issued: at, Added: numbered(1, 4)})
	if err != nil || first.ExceptionsVersion != 3 || first.Blocks() != 3 {
		t.Fatalf("on the empty list: %+v, %v", first, err)
	}
	next := bundle.Changes[emv.DeviceID]{Version: 5, Base: 3, Issued: at.Add(-30 * time.Second), Added: numbered(9, 10), Removed: numbered(1, 3)}
	second, err := first.WithExceptions(next)
	if err != nil || second.Blocks() != 2 || second.Listed(numbered(1, 2)[0]) || !second.Listed(numbered(9, 10)[0]) || first.Blocks() != 3 {
		t.Fatalf("the next: %+v of %+v, %v", second, first, err)
	}
	for name, c := range map[string]struct {
		want   error
		change func(*bundle.Changes[emv.DeviceID])
	}{
		"the same again": {bundle.ErrNotNewer, func(c *bundle.Changes[emv.DeviceID]) { c.Version, c.Base = 3, 2 }},
		"a gap":          {bundle.ErrGap, func(c *bundle.Changes[emv.DeviceID]) { c.Base = 4 }},
		"from nothing":   {bundle.ErrGap, func(c *bundle.Changes[emv.DeviceID]) { c.Base = 0 }},
		"an old date":    {bundle.ErrIssued, func(c *bundle.Changes[emv.DeviceID]) { c.Issued = at.Add(-61 * time.Second) }},
		"too long":       {bundle.ErrTooLong, func(c *bundle.Changes[emv.DeviceID]) { c.Added = numbered(100, 100+bundle.MaxBlocked) }},
	} {
		bad := next
		c.change(&bad)
		if list, err := first.WithExceptions(bad); !errors.Is(err, c.want) || list != nil {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// What is packed comes back, of both lists.
func TestPackedHotlist(t *testing.T) {
	h, err := bundle.LoadHotlist(os.DirFS("testdata/hotlist"))
	if err != nil {
		t.Fatal(err)
	}
	read := &bundle.Hotlist{}
	if err := read.Unpack(h.PackBlocked(), h.PackRevoked()); err != nil {
		t.Fatal(err)
	}
	tap, device := [5]byte{0xF0, 'T', 'A', 'P', 'K'}, [6]byte{5: 0xC8}
	if read.Blocks() != h.Blocks() || read.Revokes() != h.Revokes() || !read.Listed(emv.NewDeviceID([8]byte{1, 2, 3, 4, 5, 6, 7, 8})) ||
		!read.Revoked(tap, 1, 0x2A, nil) || !read.Revoked(tap, 1, 0x2B, &device) || read.Revoked(tap, 1, 0x2B, nil) {
		t.Errorf("%d blocked, %d revoked: not what was packed", read.Blocks(), read.Revokes())
	}
	if read.Unpack(make([]byte, 7), nil) == nil || read.Unpack(nil, make([]byte, 16)) == nil {
		t.Error("half an entry is read")
	}
}

// A file that somebody begins with is the empty list; of two lists the newer counts, part by part.
func TestNewerHotlist(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	files, err := bundle.LoadHotlist(os.DirFS("testdata/hotlist"))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := (&bundle.Hotlist{}).WithExceptions(bundle.Changes[emv.DeviceID]{Version: files.ExceptionsVersion + 1, Issued: at})
	if err != nil {
		t.Fatal(err)
	}
	got := files.Newer(sent)
	if got.Blocks() != 0 || got.ExceptionsVersion != sent.ExceptionsVersion || !got.CRLIssued.Equal(files.CRLIssued) || got.Revokes() != files.Revokes() {
		t.Errorf("%+v", got)
	}
	if got := files.Newer(&bundle.Hotlist{}); got.Blocks() != files.Blocks() || got.CRLVersion != files.CRLVersion {
		t.Errorf("beside nothing: %+v", got)
	}
	for version, want := range map[int64]int64{1: 0, 2: 2} {
		body, err := bundle.FormatHotlist(version, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, text := range body {
			if err := os.WriteFile(dir+"/"+name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h, err := bundle.LoadHotlist(os.DirFS(dir))
		if err != nil || h.ExceptionsVersion != want || h.CRLVersion != want || !h.CRLIssued.Equal(at) {
			t.Errorf("an empty list of version %d: %+v, %v", version, h, err)
		}
	}
}
