package conform

import (
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
