package emvtest

import "testing"

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
