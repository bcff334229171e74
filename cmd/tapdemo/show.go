package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"tapkeeper/till"
)

func yuan(minor int64) string {
	if minor < 0 {
		return "-" + yuan(-minor)
	}
	return fmt.Sprintf("¥%d.%02d", minor/100, minor%100)
}

// Columns of the story, in cells of a terminal.
const (
	orderColumn  = 7
	amountColumn = 9
	whoColumn    = 20
	wordsColumn  = 72
)

// wide is the first rune that a terminal shows in two cells: the radicals of
// CJK; what this program prints above it is Chinese and its punctuation.
const wide = 0x2E80

// pad fills up to a number of cells, for columns that hold Chinese.
func pad(text string, cells int) string {
	for _, r := range text {
		cells--
		if r >= wide {
			cells--
		}
	}
	return text + strings.Repeat(" ", max(cells, 0))
}

func (t *teller) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *teller) chapter(text string) {
	t.step++
	t.say("\n%d. %s", t.step, text)
}

// row shows one payment: what was asked, by whom, and what came of it.
func (t *teller) row(p till.Payment, who, what, took string) {
	line := fmt.Sprintf("   %s%*s  %s%s%s", pad(p.OrderRef, orderColumn), amountColumn, yuan(p.AmountMinor), pad(who, whoColumn), pad(what, wordsColumn), took)
	t.say("%s", strings.TrimRight(line, " "))
}

// below continues under the words of a row.
func (t *teller) below(format string, args ...any) {
	t.say("   %*s%s", orderColumn+amountColumn+2+whoColumn, "", fmt.Sprintf(format, args...))
}

// look runs the technician's own command on the first tap, and says what to try.
func (t *teller) look() error {
	t.chapter("The tap can be read, command by command; what is secret is masked")
	out, err := t.tool(t.ctx, "show", t.first, "--trace")
	if err != nil {
		return err
	}
	t.say("   $ tapkeeper show %s --trace", t.first)
	const head = 4
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines[:min(head, len(lines))] {
		t.say("   %s", line)
	}
	t.say("   … %d lines in all", len(lines))
	self, err := os.Executable()
	if err != nil {
		self = "tapdemo"
	}
	t.say("\nAll agree: till, journal, wallet and ledger. Try next:")
	t.say("   %s -serve", self)
	t.say("      a store that stays open (this one closes now): pay, look at taps, cut the network, kill the daemon by hand")
	return nil
}

// tool runs a verb of tapkeeper against the daemon.
func (s *store) tool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "TAPKEEPER_SOCKET="+s.Path("till.sock"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tapkeeper %s: %w: %s", strings.Join(args, " "), err, out)
	}
	if len(out) == 0 {
		return "", fmt.Errorf("tapkeeper %s says nothing", strings.Join(args, " "))
	}
	return string(out), nil
}
