// Package wiretest holds messages against the JSON Schemas of docs/wallet-link,
// so that a test of either side fails when what is sent is not what is published.
//
// It promises to be stricter than a receiver may be: a field that no schema names
// is a violation. It looks into the signed payload and checks no signature: that
// is package wire's business, which it does not import.
package wiretest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// base is where the schemas live for the compiler; nothing is fetched from there.
const base = "mem:///schemas/"

// Schemas are the compiled schemas by kind.
type Schemas struct{ byKind map[string]*jsonschema.Schema }

// Load compiles docs/wallet-link/schemas of the module that the working folder
// lies in. The schemas are compiled once in a process.
var Load = sync.OnceValues(load)

func load() (*Schemas, error) {
	dir, err := Docs()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "schemas", "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no schemas in %s: %w", dir, err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	for _, f := range files {
		document, err := readJSON(f)
		if err != nil {
			return nil, err
		}
		closed(document)
		if err := c.AddResource(base+filepath.Base(f), document); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
	}
	s := &Schemas{byKind: map[string]*jsonschema.Schema{}}
	for _, f := range files {
		name := filepath.Base(f)
		if name == "common.json" {
			continue
		}
		compiled, err := c.Compile(base + name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		s.byKind[strings.TrimSuffix(name, ".json")] = compiled
	}
	return s, nil
}

// Docs finds docs/wallet-link above the working folder.
func Docs() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, "docs", "wallet-link")
		if _, found := os.Stat(path); found == nil {
			return path, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		err = errors.New("no docs/wallet-link above the working folder")
	}
	return "", err
}

func readJSON(path string) (any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// closed forbids what a schema does not name, everywhere but in its conditions.
func closed(v any) {
	object, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok {
			for _, e := range list {
				closed(e)
			}
		}
		return
	}
	if _, ok := object["properties"]; ok && object["type"] == "object" {
		object["additionalProperties"] = false
	}
	for name, e := range object {
		if !slices.Contains([]string{"if", "then", "else", "not", "anyOf", "dependencies"}, name) {
			closed(e)
		}
	}
}

// Kinds are the kinds that have a schema, crl among them.
func (s *Schemas) Kinds() []string { return slices.Sorted(maps.Keys(s.byKind)) }

// Payload holds a signed payload of a kind against its schema.
func (s *Schemas) Payload(kind string, payload []byte) error {
	schema := s.byKind[kind]
	if schema == nil {
		return fmt.Errorf("%q: no schema", kind)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if err := schema.Validate(v); err != nil {
		return fmt.Errorf("%s: %w\n%s", kind, err, payload)
	}
	return nil
}

// Publication holds what was published on a topic against the schemas: one
// message, or a batch of them.
func (s *Schemas) Publication(topic string, payload []byte) error {
	segment := topic[strings.LastIndexByte(topic, '/')+1:]
	messages := [][]byte{payload}
	if segment == "batch" {
		messages = bytes.Split(payload, []byte("\n"))
	}
	for _, m := range messages {
		signed, err := Signed(m)
		if err != nil {
			return fmt.Errorf("on %s: %w", topic, err)
		}
		var head struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(signed, &head); err != nil {
			return fmt.Errorf("on %s: %w", topic, err)
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(head.Type, "tapkeeper."), ".v1")
		if segment != "batch" && strings.TrimSuffix(kind, "_answer") != segment {
			return fmt.Errorf("on %s: a message of type %s", topic, head.Type)
		}
		if err := s.Payload(kind, signed); err != nil {
			return fmt.Errorf("on %s: %w", topic, err)
		}
	}
	return nil
}

// Signed is the payload of a compact JWS, unverified.
func Signed(jws []byte) ([]byte, error) {
	part := bytes.Split(jws, []byte("."))
	if len(part) != 3 {
		return nil, errors.New("not a compact JWS")
	}
	return base64.RawURLEncoding.AppendDecode(nil, part[1])
}

// TB is what Watch needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Watch gives a function that fails the test when a publication breaks a schema.
// It may be called from any goroutine until the test ends.
func Watch(t TB) func(topic string, payload []byte) {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatalf("schemas: %v", err)
	}
	return func(topic string, payload []byte) {
		if err := s.Publication(topic, payload); err != nil {
			t.Errorf("schema: %v", err)
		}
	}
}
