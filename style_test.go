package tapkeeper_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

const (
	maxFileLines     = 400 // a file is read in one sitting
	maxFunctionLines = 70  // a function fits on a screen
	maxReadmeLines   = 200 // a newcomer reads it to the end
)

// longFiles and longFunctions are the exceptions, each with its reason. An
// exception that is no longer needed fails, so the lists only shrink.
var (
	longFiles     = map[string]string{}
	longFunctions = map[string]string{}
)

// saysNothing are package names that tell a reader nothing.
var saysNothing = []string{"util", "utils", "common", "types", "manager", "helper", "helpers", "misc", "base"}

// testPANs are card numbers that payment companies publish for testing. Any other
// number that could be a card's must not be in the tree, by accident or otherwise.
var testPANs = []string{
	"378282246310005", "371449635398431", "378734493671000", "30569309025904", "38520000023237",
	"4111111111111111", "4012888888881881", "4222222222222", "4242424242424242", "4761739001010119", "4000000000000002",
	"5105105105105100", "5413330089020011", "5555555555554444", "2223003122003222",
	"6011000990139424", "6011111111111117", "6200000000000005", "6205500000000000004", "3530111333300000", "3566002020360505",
}

var (
	// digits finds runs that are not part of a hexadecimal string or a word; PANs do not start with 0.
	digits = regexp.MustCompile(`(?:^|[^0-9A-Za-z])([1-9][0-9]{12,18})(?:$|[^0-9A-Za-z])`)
	// grouped finds 16 digits as cards show them.
	grouped = regexp.MustCompile(`(?:^|[^0-9A-Za-z-])([1-9][0-9]{3}(?: [0-9]{4}){3}|[1-9][0-9]{3}(?:-[0-9]{4}){3})(?:$|[^0-9A-Za-z-])`)
	// private finds paths of somebody's machine. The parts are apart so that this file passes.
	private = regexp.MustCompile(`(/ho` + `me/[a-z]|/Us` + `ers/[A-Za-z]|/ro` + `ot/[A-Za-z.]|/wo` + `rk/[a-z.]|[A-Z]:\\Us` + `ers)`)
	// unfinished finds notes to oneself.
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
)

// luhn is the check digit rule of ISO/IEC 7812-1.
func luhn(number string) bool {
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}

// textComplaints judges any text file: card numbers and paths of a developer's machine.
func textComplaints(name string, body []byte) []string {
	var found []string
	for number, line := range strings.Split(string(body), "\n") {
		at := fmt.Sprintf("%s:%d", name, number+1)
		if private.MatchString(line) {
			found = append(found, at+": a path of somebody's machine")
		}
		// Module versions in go.mod carry 14-digit times.
		if path.Base(name) == "go.mod" {
			continue
		}
		for _, m := range append(digits.FindAllStringSubmatch(line, -1), grouped.FindAllStringSubmatch(line, -1)...) {
			pan := strings.NewReplacer(" ", "", "-", "").Replace(m[1])
			if luhn(pan) && !slices.Contains(testPANs, pan) {
				found = append(found, at+": a number that could be a real card's")
			}
		}
	}
	return found
}

// goComplaints judges the form of one Go file.
func goComplaints(name string, source []byte) []string {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	complain := func(pos token.Pos, what string) {
		found = append(found, fmt.Sprintf("%s:%d: %s", name, set.Position(pos).Line, what))
	}
	if formatted, err := format.Source(source); err != nil || !bytes.Equal(formatted, source) {
		complain(file.Pos(), "not gofmt'd")
	}
	if slices.Contains(saysNothing, strings.TrimSuffix(file.Name.Name, "_test")) {
		complain(file.Name.Pos(), "package name "+file.Name.Name+" says nothing")
	}
	for _, group := range file.Comments {
		if unfinished.MatchString(group.Text()) {
			complain(group.Pos(), "a note about unfinished work: finish it or file an issue")
		}
	}
	test := strings.HasSuffix(name, "_test.go")
	if lines := bytes.Count(source, []byte("\n")); !test && (lines > maxFileLines) != (longFiles[name] != "") {
		complain(file.Pos(), fmt.Sprintf("%d lines, limit %d, exception listed: %v", lines, maxFileLines, longFiles[name] != ""))
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Recv == nil && f.Name.Name == "init" {
			complain(f.Pos(), "init hides an order of events: build it where it is used")
		}
		key := name + " " + f.Name.Name
		lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
		if !test && (lines > maxFunctionLines) != (longFunctions[key] != "") {
			complain(f.Pos(), fmt.Sprintf("%s has %d lines, limit %d, exception listed: %v", f.Name.Name, lines, maxFunctionLines, longFunctions[key] != ""))
		}
	}
	return found
}

// uncommented lists the folders whose package says nowhere what it is.
func uncommented(t *testing.T, tree fs.FS) []string {
	t.Helper()
	commented := map[string]bool{}
	for _, f := range goFiles(t, tree) {
		if f.test {
			continue
		}
		source, err := fs.ReadFile(tree, f.name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.name, source, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		commented[f.folder] = commented[f.folder] || parsed.Doc.Text() != ""
	}
	var found []string
	for folder, ok := range commented {
		if !ok {
			found = append(found, folder)
		}
	}
	slices.Sort(found)
	return found
}

func TestStyle(t *testing.T) {
	tree, seen := project(), 0
	walk(t, tree, func(name string) {
		// The vectors are somebody else's bytes; go.sum is hashes.
		if strings.HasPrefix(name, "emv/testdata/") || name == "go.sum" {
			return
		}
		body, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(body) {
			return
		}
		seen++
		complaints := textComplaints(name, body)
		if path.Ext(name) == ".go" && !strings.Contains("/"+name, "/testdata/") {
			complaints = append(complaints, goComplaints(name, body)...)
		}
		if lines := bytes.Count(body, []byte("\n")); name == "README.md" && lines > maxReadmeLines {
			complaints = append(complaints, fmt.Sprintf("README.md: %d lines, limit %d", lines, maxReadmeLines))
		}
		for _, c := range complaints {
			t.Error(c)
		}
	})
	if seen < 10 {
		t.Errorf("looked at %d files: the walk is broken", seen)
	}
	for _, folder := range uncommented(t, tree) {
		t.Errorf("%s: the package has no comment", folder)
	}
}

// The lists are tables of facts; a typing error in them would open a hole.
func TestStyleLists(t *testing.T) {
	for _, pan := range testPANs {
		if !luhn(pan) {
			t.Errorf("test PAN ending %s has a wrong check digit", pan[len(pan)-4:])
		}
	}
	for name := range longFiles {
		if _, err := fs.Stat(project(), name); err != nil {
			t.Errorf("longFiles: %v", err)
		}
	}
	for key := range longFunctions {
		name, _, _ := strings.Cut(key, " ")
		if _, err := fs.Stat(project(), name); err != nil {
			t.Errorf("longFunctions: %v", err)
		}
	}
}

// Each rule is broken once on purpose.
func TestStyleCatchesPlantedFaults(t *testing.T) {
	unknown := "41111111" + "11111111"              // published
	real := "499273987160" + fourth("499273987160") // Luhn-valid, published by nobody
	for what, c := range map[string]struct {
		name, body string
		want       int
	}{
		"clean":            {"a.go", "// Package a is.\npackage a\n", 0},
		"not formatted":    {"a.go", "package a\nvar  x int\n", 1},
		"empty name":       {"a.go", "package helpers\n", 1},
		"init":             {"a.go", "package a\n\nfunc init() {}\n", 1},
		"method init":      {"a.go", "package a\n\ntype b int\n\nfunc (b) init() {}\n", 0},
		"long function":    {"a.go", "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", 69) + "}\n", 1},
		"long enough":      {"a.go", "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", 68) + "}\n", 0},
		"long test":        {"a_test.go", "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", 90) + "}\n", 0},
		"long file":        {"a.go", "package a\n\n" + strings.Repeat("// x\n", 400), 1},
		"unfinished":       {"a.go", "package a\n\n// TO" + "DO: all\n", 1},
		"card":             {"a.md", "pay " + real + " now\n", 1},
		"card in groups":   {"a.md", "4992 7398 7160 " + real[12:] + "\n", 1},
		"published card":   {"a.md", unknown + "\n", 0},
		"hexadecimal":      {"a.md", "A" + real + "\n", 0},
		"home":             {"a.md", "see /ho" + "me/me/x\n", 1},
		"home of the unit": {"a.md", "/var/lib/tapkeeper\n", 0},
	} {
		got := textComplaints(c.name, []byte(c.body))
		if path.Ext(c.name) == ".go" {
			got = append(got, goComplaints(c.name, []byte(c.body))...)
		}
		if len(got) != c.want {
			t.Errorf("%s: complaints %q, want %d", what, got, c.want)
		}
	}
	tree := fstest.MapFS{"a/a.go": {Data: []byte("package a\n")}, "b/b.go": {Data: []byte("// Package b is.\npackage b\n")}}
	if got := uncommented(t, tree); !slices.Equal(got, []string{"a"}) {
		t.Errorf("uncommented %v, want [a]", got)
	}
}

// fourth completes twelve digits to a Luhn-valid sixteen.
func fourth(twelve string) string {
	for last := range 10 {
		if four := fmt.Sprintf("000%d", last); luhn(twelve + four) {
			return four
		}
	}
	return ""
}
