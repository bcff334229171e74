package wiretest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The AsyncAPI document is one by the schema that the AsyncAPI project publishes
// (testdata, package @asyncapi/specs, Apache 2.0).
func TestAsyncAPIDocument(t *testing.T) {
	schema, err := readJSON("testdata/asyncapi-3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///asyncapi.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("mem:///asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	document := asyncAPI(t)
	if err := compiled.Validate(document); err != nil {
		t.Fatal(err)
	}
	// The schema must be able to say no.
	document["channels"].(map[string]any)["upAdvice"].(map[string]any)["adress"] = "x"
	if err := compiled.Validate(document); err == nil {
		t.Error("a misspelt field is valid")
	}
}

func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	dir, err := Docs()
	if err != nil {
		t.Fatal(err)
	}
	v, err := readJSON(filepath.Join(dir, "asyncapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// Every reference of the document leads somewhere, and every schema is used.
func TestAsyncAPIReferences(t *testing.T) {
	document := asyncAPI(t)
	dir, err := Docs()
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	walk(document, func(ref string) {
		if path, ok := strings.CutPrefix(ref, "#/"); ok {
			var at any = document
			for _, step := range strings.Split(path, "/") {
				object, _ := at.(map[string]any)
				at = object[step]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			return
		}
		if _, err := os.Stat(filepath.Join(dir, ref)); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		used = append(used, strings.TrimSuffix(filepath.Base(ref), ".json"))
	})
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range s.Kinds() {
		if kind != "crl" && !slices.Contains(used, kind) { // that one is signed by another, inside a hotlist
			t.Errorf("schemas/%s.json is not in the document", kind)
		}
	}
	// What is sent with QoS 1 and what is retained is part of the contract.
	for name, v := range document["operations"].(map[string]any) {
		want := "#/components/operationBindings/once"
		if name == "sendState" {
			want = "#/components/operationBindings/retained"
		}
		if got := v.(map[string]any)["bindings"].(map[string]any)["$ref"]; got != want {
			t.Errorf("%s: bindings %v, want %s", name, got, want)
		}
	}
}

func walk(v any, see func(ref string)) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			see(ref)
		}
		for _, e := range v {
			walk(e, see)
		}
	case []any:
		for _, e := range v {
			walk(e, see)
		}
	}
}

func TestWatchSeesViolations(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	const echo = `{"specversion":"1.0","id":"0190a5d4-0000-7000-8000-000000000009","source":"/tapkeeper/a/b","type":"tapkeeper.echo.v1",` +
		`"time":"2026-11-24T09:30:00.120Z","datacontenttype":"application/json","data":{}}`
	jws := func(payload string) []byte {
		b, _ := json.Marshal([]byte(payload))
		text := strings.Trim(string(b), `"`)
		return []byte("e30." + strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=") + ".AA")
	}
	for name, c := range map[string]struct {
		topic, payload string
		ok             bool
	}{
		"good":                    {"tapkeeper/v1/a/b/up/echo", echo, true},
		"another topic":           {"tapkeeper/v1/a/b/up/query", echo, false},
		"an unnamed field":        {"tapkeeper/v1/a/b/up/echo", strings.Replace(echo, `"data":{}`, `"data":{},"more":1`, 1), false},
		"one inside":              {"tapkeeper/v1/a/b/up/echo", strings.Replace(echo, `"data":{}`, `"data":{"more":1}`, 1), false},
		"a missing field":         {"tapkeeper/v1/a/b/up/echo", strings.Replace(echo, `"specversion":"1.0",`, ``, 1), false},
		"a wrong type":            {"tapkeeper/v1/a/b/up/echo", strings.Replace(echo, `"1.0"`, `1.0`, 1), false},
		"upper-case id":           {"tapkeeper/v1/a/b/up/echo", strings.Replace(echo, `0190a5d4`, `0190A5D4`, 1), false},
		"a kind without a schema": {"tapkeeper/v1/a/b/up/song", strings.Replace(echo, `.echo.`, `.song.`, 1), false},
	} {
		if err := s.Publication(c.topic, jws(c.payload)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Publication("tapkeeper/v1/a/b/up/echo", []byte(echo)); err == nil {
		t.Error("an unsigned message passes")
	}
}
