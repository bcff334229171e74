package bundle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// schema is the form of the files that this version reads.
const schema = 1

// inspector reads one file and collects what is wrong with it.
type inspector struct {
	file   string
	faults []Fault
}

// want notes a fault unless ok.
func (c *inspector) want(ok bool, field, want string, got any) bool {
	if !ok {
		c.faults = append(c.faults, Fault{File: c.file, Field: field, Want: want, Got: fmt.Sprint(got)})
	}
	return ok
}

// within holds a number between two bounds, both allowed.
func (c *inspector) within(field string, value, low, high int64) bool {
	return c.want(value >= low && value <= high, field, fmt.Sprintf("%d to %d", low, high), value)
}

// oneOf holds a word to a closed list.
func (c *inspector) oneOf(field, value string, words ...string) bool {
	for _, w := range words {
		if w == value {
			return true
		}
	}
	return c.want(false, field, "one of "+strings.Join(words, ", "), quoted(value))
}

// bytes reads upper-case hexadecimal text of low to high bytes; nil when it is not that.
func (c *inspector) bytes(field, text string, low, high int) []byte {
	size := fmt.Sprintf("%d bytes of upper-case hexadecimal", low)
	if high != low {
		size = fmt.Sprintf("%d to %s", low, strings.Replace(size, fmt.Sprint(low), fmt.Sprint(high), 1))
	}
	b, err := hex.DecodeString(text)
	if !c.want(err == nil && text == strings.ToUpper(text) && len(b) >= low && len(b) <= high, field, size, quoted(text)) {
		return nil
	}
	return b
}

// maxQuoted keeps a found value short in an error.
const maxQuoted = 40

func quoted(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "..."
	}
	return fmt.Sprintf("%q", text)
}

// read parses a file strictly into a pointer to a struct: unknown fields, wrong
// types and missing fields are faults. It reports whether the struct can be used.
func (c *inspector) read(fsys fs.FS, limit int64, into any) bool {
	info, err := fs.Stat(fsys, c.file)
	if err != nil {
		return c.want(false, "", "a readable file", cause(err))
	}
	if !c.want(info.Size() <= limit, "", fmt.Sprintf("at most %d bytes", limit), info.Size()) {
		return false
	}
	body, err := fs.ReadFile(fsys, c.file)
	if err != nil {
		return c.want(false, "", "a readable file", cause(err))
	}
	if err := toml.NewDecoder(bytes.NewReader(body)).DisallowUnknownFields().Decode(into); err != nil {
		c.malformed(err)
		return false
	}
	var present map[string]any
	if err := toml.Unmarshal(body, &present); err != nil {
		c.malformed(err)
		return false
	}
	before := len(c.faults)
	c.complete("", reflect.TypeOf(into).Elem(), present)
	return len(c.faults) == before
}

// malformed translates the parser's errors.
func (c *inspector) malformed(err error) {
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			c.want(false, strings.Join(e.Key(), "."), "a known field", fmt.Sprintf("an unknown one in line %d", row))
		}
	case errors.As(err, &bad):
		row, _ := bad.Position()
		want, got := "TOML", strings.TrimPrefix(bad.Error(), "toml: ")
		if m := mistyped.FindStringSubmatch(got); m != nil {
			want, got = kindWord(m[2]), "a "+m[1]
		}
		c.want(false, strings.Join(bad.Key(), "."), want, fmt.Sprintf("%s in line %d", got, row))
	default:
		c.want(false, "", "TOML", strings.TrimPrefix(err.Error(), "toml: "))
	}
}

// mistyped is how the parser says that a value has another type than the field.
var mistyped = regexp.MustCompile(`^cannot decode TOML (.+) into .* of type (\S+)$`)

// kindWord names a Go type to somebody who writes TOML.
func kindWord(goType string) string {
	switch goType = strings.TrimPrefix(goType, "*"); {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "int64":
		return "an integer"
	case goType == "string":
		return "a string"
	case goType == "bool":
		return "true or false"
	default:
		return "a table"
	}
}

// complete notes each field of a struct type that the file does not give, unless
// its tag says need:"no": a limit that was forgotten must not become zero or none.
func (c *inspector) complete(prefix string, t reflect.Type, present map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("toml")
		value, ok := present[name]
		if !ok {
			c.want(f.Tag.Get("need") == "no", prefix+name, "a value", "nothing")
			continue
		}
		c.completeValue(prefix+name, f.Type, value)
	}
}

// completeValue goes down into tables, lists of tables and tables of tables.
func (c *inspector) completeValue(at string, t reflect.Type, value any) {
	switch inner := value.(type) {
	case map[string]any:
		if t.Kind() == reflect.Struct {
			c.complete(at+".", t, inner)
		} else if t.Kind() == reflect.Map {
			for key, v := range inner {
				c.completeValue(at+"."+key, t.Elem(), v)
			}
		}
	case []any:
		for i, v := range inner {
			c.completeValue(fmt.Sprintf("%s[%d]", at, i), t.Elem(), v)
		}
	}
}

// cause strips the path from a file error: the fault names the file already.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
