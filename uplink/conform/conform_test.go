package conform

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapkeeper/wallet/backend"
)

// The reference wallet keeps every rule, and what it publishes is as the schemas say.
func TestReferenceWalletConforms(t *testing.T) {
	b := newBench(t)
	report, err := Run(t.Context(), b.config(b.kit()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Cases {
		if c.Outcome != Passed {
			t.Errorf("%d %s: %s %s", c.Number, c.Name, c.Outcome, c.Why)
		}
	}
	t.Logf("%d cases", len(report.Cases))
}

// Every case names a section that is on the page, and has a number of its own.
func TestCasesNameTheirRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/wallet-link.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[int]bool{}
	for _, c := range Cases() {
		section, _, _ := strings.Cut(c.Rule, ", ")
		if !strings.Contains(string(page), "# "+section+"\n") && !strings.HasPrefix(section, "scheme.md ") {
			t.Errorf("case %d: no section %q", c.Number, section)
		}
		if numbers[c.Number] {
			t.Errorf("two cases %d", c.Number)
		}
		numbers[c.Number] = true
	}
}

// The page names every field of the kit's files, so that others can make one.
func TestPageNamesTheKitsFields(t *testing.T) {
	page, err := os.ReadFile("../../docs/wallet-link.md")
	if err != nil {
		t.Fatal(err)
	}
	b, dir := newBench(t), t.TempDir()
	b.must(backend.WriteTestKit(t.Context(), b.ledger, b.keys, dir, "CNY", time.Now()))
	for _, name := range []string{"kit.json", "phones/payer.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		b.must(err)
		if format := regexp.MustCompile(`"format": *"[^"]*"`).Find(text); format == nil || !strings.Contains(string(page), string(format[bytes.LastIndexByte(format, ' ')+1:])) {
			t.Errorf("%s: the page does not name %s", name, format)
		}
		for _, field := range regexp.MustCompile(`"([a-z_0-9]+)":`).FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(page), "`"+field[1]+"`") && !strings.Contains(string(page), `"`+field[1]+`"`) {
				t.Errorf("%s: the page does not name %s", name, field[1])
			}
		}
	}
}
