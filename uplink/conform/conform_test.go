package conform

import (
	"os"
	"strings"
	"testing"
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
