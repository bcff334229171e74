package tapkeeper_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// module is our own import path prefix, as go.mod says it.
const module = "tapkeeper"

// project is the checkout: tests run in the folder of their package, here the root.
func project() fs.FS { return os.DirFS(".") }

// walk calls fn for every file of the project, leaving out what git does not keep (bin) and hidden folders other than .ci.
func walk(t *testing.T, tree fs.FS, fn func(name string)) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || strings.HasPrefix(d.Name(), ".") && name != "." && name != ".ci"):
			return fs.SkipDir
		case d.Type().IsRegular():
			fn(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goFile is one parsed file of a package.
type goFile struct {
	name, folder string
	pkg          string
	test         bool // a _test.go file
	imports      []string
}

// goFiles parses the imports of every Go file, whatever its build tags say.
func goFiles(t *testing.T, tree fs.FS) []goFile {
	t.Helper()
	var files []goFile
	walk(t, tree, func(name string) {
		if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
			return
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		f := goFile{name: name, folder: path.Dir(name), pkg: parsed.Name.Name, test: strings.HasSuffix(name, "_test.go")}
		for _, spec := range parsed.Imports {
			f.imports = append(f.imports, strings.Trim(spec.Path.Value, "`\""))
		}
		files = append(files, f)
	})
	return files
}
