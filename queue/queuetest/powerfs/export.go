package powerfs

import (
	"os"
	"path/filepath"
)

// Export writes what the disk shows into a directory, with the holes of its files.
func (d *Disk) Export(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return export(d.root, dir)
}

func export(n *node, path string) error {
	if n.dir {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		for name, child := range n.names {
			if err := export(child, filepath.Join(path, name)); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for i, p := range n.pages {
		if _, err := f.WriteAt(p[:], i*pageSize); err != nil {
			return err
		}
	}
	return f.Truncate(n.size)
}
