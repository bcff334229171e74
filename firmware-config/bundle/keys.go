package bundle

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"time"

	"tapkeeper/emv"
)

// loadedKey is a CA key with what decides whether it is used.
type loadedKey struct {
	file        string
	environment string
	lastDay     time.Time
	key         emv.CAKey
}

// loadKeys reads the keys of both environments, because a key must not be in both.
func loadKeys(fsys fs.FS) ([]loadedKey, []Fault) {
	var keys []loadedKey
	var faults []Fault
	for _, environment := range []string{Test, Live} {
		for _, name := range tomlFiles(fsys, "capk/"+environment) {
			c := &inspector{file: name}
			if k, ok := c.key(fsys, environment); ok {
				for _, other := range keys {
					c.want(!bytes.Equal(k.key.Key[:], other.key.Key[:]), "public_key", "a key of its own", "the key of "+other.file)
					c.want(k.environment != other.environment || k.key.RID != other.key.RID || k.key.Index != other.key.Index,
						"index", "an index used once for a RID", "that of "+other.file)
				}
				keys = append(keys, k)
			}
			faults = append(faults, c.faults...)
		}
	}
	return keys, faults
}

// key reads one CA key. Its hash guards against a slip of the editor, not against a forger.
func (c *inspector) key(fsys fs.FS, environment string) (loadedKey, bool) {
	var f keyFile
	if !c.read(fsys, maxFileBytes, &f) {
		return loadedKey{}, false
	}
	c.within("schema", f.Schema, schema, schema)
	c.want(f.Environment == environment, "environment", quoted(environment)+", as the folder says", quoted(f.Environment))
	rid := c.bytes("rid", f.RID, 5, 5)
	index := c.within("index", f.Index, 1, 255)
	public := c.bytes("public_key", f.PublicKey, 33, 33)
	hash := c.bytes("sha256", f.SHA256, sha256.Size, sha256.Size)
	c.want(f.Source != "", "source", "where the key comes from", "nothing")
	if rid == nil || !index || public == nil || hash == nil {
		return loadedKey{}, false
	}
	sum := sha256.Sum256(append(append(bytes.Clone(rid), byte(f.Index)), public...))
	c.want(bytes.Equal(sum[:], hash), "sha256", fmt.Sprintf("%X", sum), f.SHA256)
	x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), public)
	c.want(x != nil, "public_key", "a point of P-256", quoted(f.PublicKey))
	name := keyName(rid, byte(f.Index))
	c.want(path.Base(c.file) == name, "", "the name "+name, path.Base(c.file))
	return loadedKey{
		file: c.file, environment: environment, lastDay: f.NotAfter.AsTime(time.UTC),
		key: emv.CAKey{RID: [5]byte(rid), Index: byte(f.Index), Key: [33]byte(public)},
	}, true
}

// keyName is the file name of a CA key.
func keyName(rid []byte, index byte) string { return fmt.Sprintf("%X-%02X.toml", rid, index) }
