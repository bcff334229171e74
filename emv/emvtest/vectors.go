// Package emvtest loads the conformance vectors of the scheme as plain data:
// dialogues between terminal and phone, primitives, and evidence records with
// the backend's verdict. It interprets nothing and imports nothing of ours.
//
// The vectors come from the folder that TAPKEEPER_VECTORS names, or from the
// copy in emv/testdata/scheme. A folder that holds none of a kind is an error,
// never an empty result: a test over nothing proves nothing. So is a key or a
// list that these types do not have: what nobody reads, nobody tests.
package emvtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
)

// Hex is a byte string, written as hex; null becomes nil.
type Hex []byte

// UnmarshalJSON reads a hex string or null.
func (h *Hex) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil {
		*h = nil
		return nil
	}
	v, err := hex.DecodeString(*s)
	if err != nil {
		return err
	}
	*h = append(Hex{}, v...)
	return nil
}

// MarshalJSON writes upper-case hex.
func (h Hex) MarshalJSON() ([]byte, error) {
	if h == nil {
		return []byte("null"), nil
	}
	return []byte(strconv.Quote(fmt.Sprintf("%X", []byte(h)))), nil
}

// Byte returns the first byte, 0 when there is none.
func (h Hex) Byte() byte {
	if len(h) == 0 {
		return 0
	}
	return h[0]
}

// DirVariable names the folder to read instead of the project's own copy.
const DirVariable = "TAPKEEPER_VECTORS"

// Dir is the folder that the vectors are read from.
func Dir() (string, error) {
	if dir := os.Getenv(DirVariable); dir != "" {
		return dir, nil
	}
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("find vectors: no source path; set " + DirVariable)
	}
	return filepath.Join(filepath.Dir(file), "..", "testdata", "scheme"), nil
}

func load(name string, into any) error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	return loadFile(filepath.Join(dir, name), into)
}

func loadFile(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read vectors: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err = dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("something follows the object")
	}
	if err != nil {
		return fmt.Errorf("read vectors %s: %w", filepath.Base(path), err)
	}
	return nil
}

const dialogueSchema = "tapkeeper-dialogues-1"

// Dialogues loads every dialogue of every dialogues-*.json, in the order of
// the file names.
func Dialogues() ([]Dialogue, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "dialogues-*.json"))
	if err != nil {
		return nil, fmt.Errorf("find dialogues: %w", err)
	}
	sort.Strings(names)
	var all []Dialogue
	for _, name := range names {
		var f struct {
			Schema    string
			Group     string
			Dialogues []Dialogue
		}
		if err := loadFile(name, &f); err != nil {
			return nil, err
		}
		if f.Schema != dialogueSchema {
			return nil, fmt.Errorf("read vectors %s: schema %q, want %q", filepath.Base(name), f.Schema, dialogueSchema)
		}
		for _, d := range f.Dialogues {
			d.Group = f.Group
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no dialogue in %s", dir)
	}
	return all, nil
}

// LoadPrimitives loads primitives.json.
func LoadPrimitives() (*Primitives, error) {
	var p Primitives
	if err := load("primitives.json", &p); err != nil {
		return nil, err
	}
	for _, l := range p.Lists() {
		if l.Cases == 0 {
			return nil, fmt.Errorf("primitives.json: list %s holds no case", l.Name)
		}
	}
	return &p, nil
}

// LoadBackend loads backend.json.
func LoadBackend() (*Backend, error) {
	var b Backend
	if err := load("backend.json", &b); err != nil {
		return nil, err
	}
	if len(b.Cases) == 0 {
		return nil, errors.New("backend.json holds no case")
	}
	return &b, nil
}
