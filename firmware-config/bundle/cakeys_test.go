package bundle_test

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"tapkeeper/firmware-config/bundle"
)

// TestReadCAKeys: for looking at the past, keys of both environments and of any
// age are read; what is no key is refused and named.
func TestReadCAKeys(t *testing.T) {
	own := good(t)
	key := own["capk/test/F05441504B-01.toml"]
	if key == nil {
		t.Fatal("the test key has another name")
	}
	first, err := bundle.ReadCAKeys(own, "capk/test/F05441504B-01.toml")
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	public := first[0]
	_, old, err := bundle.FormatCAKey(bundle.Live, public.RID, 9, public.Key[:], time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), "long ago")
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{"keys/a/F05441504B-01.toml": key, "keys/b/F05441504B-09.toml": {Data: old}, "keys/readme.md": {Data: []byte("x")}}
	if keys, err := bundle.ReadCAKeys(fsys, "keys"); err != nil || len(keys) != 2 {
		t.Errorf("a folder: %d keys, %v", len(keys), err)
	}
	if keys, err := bundle.ReadCAKeys(fsys, "keys/b/F05441504B-09.toml"); err != nil || len(keys) != 1 || keys[0].Index != 9 {
		t.Errorf("a file: %v, %v", keys, err)
	}
	if keys, err := bundle.ReadCAKeys(own, "."); err != nil || len(keys) == 0 {
		t.Errorf("a firmware-config folder: %v, %v", keys, err)
	}
	for _, name := range []string{"nowhere", "keys/readme.md", "../keys"} {
		var refused *bundle.Refused
		if keys, err := bundle.ReadCAKeys(fsys, name); !errors.As(err, &refused) || keys != nil {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	fsys["keys/a/broken.toml"] = &fstest.MapFile{Data: []byte("schema = 1\n")}
	if _, err := bundle.ReadCAKeys(fsys, "keys"); err == nil {
		t.Error("a broken key among others was left out in silence")
	}
}
