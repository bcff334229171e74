package emvtest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNothingIsAnError(t *testing.T) {
	t.Setenv(DirVariable, t.TempDir())
	if _, err := Dialogues(); err == nil {
		t.Error("no dialogues, and no error")
	}
	if _, err := LoadPrimitives(); err == nil {
		t.Error("no primitives, and no error")
	}
	if _, err := LoadBackend(); err == nil {
		t.Error("no backend cases, and no error")
	}
}

func TestOwnCopy(t *testing.T) {
	t.Setenv(DirVariable, "")
	d, err := Dialogues()
	if err != nil || d[0].Group == "" || len(d[0].Sales) == 0 || len(d[0].Terminal.AIDs) == 0 {
		t.Errorf("dialogues: %v", err)
	}
	if b, err := LoadBackend(); err != nil || len(b.Cases[0].Record) == 0 {
		t.Errorf("backend: %v", err)
	}
}

// TestStrangersAreErrors plants a key, a list, a wrong schema, an empty list and
// a second object in copies of the vectors.
func TestStrangersAreErrors(t *testing.T) {
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	dialogues := func() error { _, err := Dialogues(); return err }
	primitives := func() error { _, err := LoadPrimitives(); return err }
	backend := func() error { _, err := LoadBackend(); return err }
	for _, c := range []struct {
		file, old, new, want string
		load                 func() error
	}{
		{"dialogues-refund.json", `"about":`, `"aboot":`, `unknown field "aboot"`, dialogues},
		{"dialogues-refund.json", `"sales":`, `"sails":`, `unknown field "sails"`, dialogues},
		{"dialogues-refund.json", dialogueSchema, "tapkeeper-dialogues-2", "schema", dialogues},
		{"primitives.json", `"cmac":`, `"imac":`, `unknown field "imac"`, primitives},
		{"primitives.json", `"pc_x":`, `"pc_y":`, `unknown field "pc_y"`, primitives},
		{"primitives.json", `"relay":`, `"relay":[],"r":`, `unknown field "r"`, primitives},
		{"backend.json", `"kind":`, `"kynd":`, `unknown field "kynd"`, backend},
	} {
		b, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(DirVariable, t.TempDir())
		plant := func(s string) {
			if err := os.WriteFile(filepath.Join(os.Getenv(DirVariable), c.file), []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		plant(string(b))
		if err := c.load(); err != nil {
			t.Fatalf("%s as it is: %v", c.file, err)
		}
		spaced := strings.NewReplacer(c.old, c.new, strings.Replace(c.old, `":`, `" :`, 1), c.new)
		plant(spaced.Replace(string(b)))
		if err := c.load(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: error %v", c.file, c.new, err)
		}
		plant(string(b) + "{}")
		if err := c.load(); err == nil {
			t.Errorf("%s: a second object passed", c.file)
		}
	}
}

// TestEveryListIsRun: each list of the primitives is read by a test of the
// project, so that one added to the file and to the types is not forgotten.
func TestEveryListIsRun(t *testing.T) {
	p, err := LoadPrimitives()
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]string{}
	err = filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.Contains(path, "emvtest") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && mentions(s.X, "p", "primitives") {
				read[s.Sel.Name] = path
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, l := range p.Lists() {
		if read[l.Field] == "" {
			t.Errorf("no test reads the list %s", l.Name)
		}
		t.Logf("%4d cases of %-12s in %s", l.Cases, l.Name, read[l.Field])
		cases += l.Cases
	}
	t.Logf("%4d cases in %d lists", cases, len(p.Lists()))
}

// mentions reports whether the expression is one of the names, or a call of it.
func mentions(e ast.Expr, names ...string) bool {
	if c, ok := e.(*ast.CallExpr); ok {
		e = c.Fun
	}
	id, ok := e.(*ast.Ident)
	for _, n := range names {
		if ok && id.Name == n {
			return true
		}
	}
	return false
}

func TestHex(t *testing.T) {
	var h Hex
	for text, want := range map[string]string{`"0aFF"`: `"0AFF"`, `""`: `""`, `null`: `null`} {
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(h); err != nil || string(b) != want {
			t.Errorf("%s is written as %s (%v)", text, b, err)
		}
	}
	for _, bad := range []string{`"0"`, `"XY"`, `7`} {
		if json.Unmarshal([]byte(bad), &h) == nil {
			t.Errorf("%s is hex", bad)
		}
	}
	if (Hex{}).Byte() != 0 || (Hex{0xAB, 1}).Byte() != 0xAB {
		t.Error("first byte")
	}
}
