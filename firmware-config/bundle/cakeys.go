package bundle

import (
	"io/fs"
	"path"

	"tapkeeper/emv"
)

// maxCAFiles bounds a folder of keys; a RID has at most 255.
const maxCAFiles = 1024

// ReadCAKeys reads CA keys for looking at the past: of the environment that each
// file names, whether or not its last day is over. name is a key file, or a
// folder: with a folder capk in it that one's, else every key file below it.
func ReadCAKeys(fsys fs.FS, name string) ([]emv.CAKey, error) {
	if info, err := fs.Stat(fsys, path.Join(name, "capk")); err == nil && info.IsDir() {
		name = path.Join(name, "capk")
	}
	var keys []emv.CAKey
	var faults []Fault
	files := 0
	err := fs.WalkDir(fsys, name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".toml" {
			return err
		}
		if files++; files > maxCAFiles {
			return fs.SkipAll
		}
		c := &inspector{file: file}
		if k, ok := c.key(fsys, (&inspector{file: file}).environment(fsys)); ok {
			keys = append(keys, k.key)
		}
		faults = append(faults, c.faults...)
		return nil
	})
	switch {
	case err != nil:
		faults = append(faults, Fault{File: name, Want: "a CA key file, or a folder of them", Got: cause(err)})
	case files == 0:
		faults = append(faults, Fault{File: name, Want: "a CA key file (.toml), or a folder of them", Got: "none"})
	case files > maxCAFiles:
		faults = append(faults, Fault{File: name, Want: "fewer files"})
	}
	if len(faults) > 0 {
		return nil, &Refused{Faults: faults}
	}
	return keys, nil
}

// environment is what a key file says of itself.
func (c *inspector) environment(fsys fs.FS) string {
	var f keyFile
	if c.read(fsys, maxFileBytes, &f) && f.Environment == Live {
		return Live
	}
	return Test
}
