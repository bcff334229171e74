package tlv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// foreign loads EMV vectors of other implementations. Their licences keep them
// out of this tree, so a test over them runs only where they are.
func foreign(t *testing.T, name string, into any) {
	t.Helper()
	dir := os.Getenv("TAPKEEPER_EMV_VECTORS")
	if dir == "" {
		t.Skip("TAPKEEPER_EMV_VECTORS names no folder of foreign EMV vectors")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestForeignDOL(t *testing.T) {
	var f struct {
		Cases []struct {
			Test    string
			DOL     string
			Entries []struct {
				Tag    string
				Length int
			}
			Source1, Source2 map[string]string
			Data             string
			DataLength       int `json:"data_length"`
			Valid            bool
		}
	}
	foreign(t, "emvutils_dol.json", &f)
	if len(f.Cases) == 0 {
		t.Fatal("no case")
	}
	for _, c := range f.Cases {
		d, err := ParseDOL(unhex(t, c.DOL))
		if (err == nil) != c.Valid {
			t.Errorf("%s: error %v, want valid %v", c.Test, err, c.Valid)
		}
		for i, e := range c.Entries {
			if d[i].Tag.String() != e.Tag || d[i].Length != e.Length {
				t.Errorf("%s: entry %d is %v", c.Test, i, d[i])
			}
		}
		if c.DataLength > 0 && d.Size() != c.DataLength {
			t.Errorf("%s: size %d, want %d", c.Test, d.Size(), c.DataLength)
		}
		if c.Data == "" || c.Source1["5A"] != "" { // format cn is not in this scheme
			continue
		}
		got, err := d.Fill(func(tag Tag) ([]byte, Format, bool) {
			v, ok := c.Source1[tag.String()]
			if !ok {
				v, ok = c.Source2[tag.String()]
			}
			if numeric[tag] {
				return unhex(t, v), Numeric, ok
			}
			return unhex(t, v), Binary, ok
		})
		if err != nil || !bytes.Equal(got, unhex(t, c.Data)) {
			t.Errorf("%s: %X (%v), want %s", c.Test, got, err, c.Data)
		}
	}
}

// TestForeignAnswers reads the answers of other schemes' cards: what is
// accepted must cover the bytes exactly, and most of them are plain BER.
func TestForeignAnswers(t *testing.T) {
	var f struct {
		Transcripts []struct {
			Exchanges []struct{ RAPDU string }
		}
	}
	foreign(t, "transcripts.json", &f)
	read, all := 0, 0
	for _, tr := range f.Transcripts {
		for _, e := range tr.Exchanges {
			b := unhex(t, e.RAPDU)
			if len(b) <= 2 {
				continue
			}
			all++
			nodes, err := Parse(b[:len(b)-2])
			if err != nil {
				continue
			}
			read++
			var raw []byte
			for _, n := range nodes {
				raw = append(raw, n.Raw...)
			}
			if !bytes.Equal(raw, b[:len(b)-2]) {
				t.Errorf("%X is read as %X", b, raw)
			}
		}
	}
	if read*2 < all || all == 0 {
		t.Errorf("%d of %d answers read", read, all)
	}
	t.Logf("%d of %d answers read", read, all)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
