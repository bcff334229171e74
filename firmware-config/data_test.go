package firmwareconfig_test

import (
	"io/fs"
	"testing"

	firmwareconfig "tapkeeper/firmware-config"
)

// A pattern that embeds nothing compiles as well as one that embeds everything.
func TestFilesHoldsTheData(t *testing.T) {
	for _, name := range []string{"terminal/default.toml", "capk/test/F05441504B-01.toml", "capk/live/README.md", "profiles/virtual.toml", "signers/README.md"} {
		if info, err := fs.Stat(firmwareconfig.Files(), name); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if keys, err := fs.Glob(firmwareconfig.Files(), "capk/live/*.toml"); err != nil || len(keys) > 0 {
		t.Errorf("live keys %v in the tree (%v): there must be none", keys, err)
	}
}
