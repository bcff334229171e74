package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tapkeeper/terminal"
	"tapkeeper/till"
	"tapkeeper/uplink/uplinktest"
)

const (
	readme     = "../../README.md"
	operations = "../../docs/operations.md"
)

// blocks are the fenced blocks of a language in a document, at least one.
func blocks(t *testing.T, path, language string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var open bool
	var fence string
	var block strings.Builder
	for line := range strings.Lines(string(raw)) {
		mark, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case isFence && !open:
			open, fence = true, mark
			block.Reset()
		case isFence:
			open = false
			if fence == language {
				found = append(found, block.String())
			}
		case open:
			block.WriteString(line)
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no %s blocks", path, language)
	}
	return found
}

// What the README shows of make demo is what it prints, line by line, but for
// times, hashes, ids and the folder.
func TestDocumentedDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the demonstration")
	}
	bin := buildAll(t, "./cmd/tapkeeper", "./cmd/tapdemo")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "tapdemo"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	printed := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		printed[lasting(line)] = true
	}
	shown := blocks(t, readme, "")[0]
	if n := strings.Count(shown, "\n"); n < 20 {
		t.Fatalf("the README shows only %d lines of it", n)
	}
	for line := range strings.Lines(shown) {
		if !printed[lasting(line)] {
			t.Errorf("make demo does not print %q", line)
		}
	}
}

// lasting is what a line of the demonstration has in common with that of another run.
func lasting(line string) string {
	line = regexp.MustCompile(`\b\d+(\.\d+)?m?s\b|/tmp/tapdemo-\d+|\b[0-9a-f]{16}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`).ReplaceAllString(line, "*")
	return strings.Join(strings.Fields(line), " ")
}

// buildAll builds programs of the tree.
func buildAll(t *testing.T, programs ...string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	build := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", bin}, programs...)...)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// Every verb, flag and target that the documents name is there.
func TestDocumentedCommands(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, path := range []string{readme, operations} {
		for _, block := range blocks(t, path, "sh") {
			for _, line := range strings.Split(strings.ReplaceAll(block, "\\\n", ""), "\n") {
				line, _, _ = strings.Cut(line, " 2>")
				words := strings.Fields(line)
				if len(words) == 0 {
					continue
				}
				seen[words[0]]++
				switch words[0] {
				case "tapkeeper":
					if err := parses(words[1:]); err != nil {
						t.Errorf("%s: %s: %v", path, line, err)
					}
				case "make":
					if !regexp.MustCompile(`(?m)^` + words[1] + `:`).Match(makefile) {
						t.Errorf("%s: %s: no such target", path, line)
					}
				}
			}
		}
	}
	for word, least := range map[string]int{"tapkeeper": 10, "make": 5, "walletd": 6, "curl": 1} {
		if seen[word] < least {
			t.Errorf("only %d commands of %s were found", seen[word], word)
		}
	}
}

// parses lets the tool read a command line without doing it.
func parses(words []string) error {
	root := newRoot()
	var verb *cobra.Command
	var silence func(of *cobra.Command)
	silence = func(of *cobra.Command) {
		for _, c := range of.Commands() {
			c.RunE = func(c *cobra.Command, _ []string) error { verb = c; return nil }
			silence(c)
		}
	}
	silence(root)
	root.SetArgs(words)
	if err := root.ExecuteContext(context.Background()); err != nil {
		return err
	}
	if verb == nil {
		return fmt.Errorf("no verb")
	}
	return nil
}

// The example of a configuration is one.
func TestDocumentedConfig(t *testing.T) {
	for _, block := range blocks(t, readme, "toml") {
		path := filepath.Join(t.TempDir(), "tapkeeper.toml")
		if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(path)
		if err != nil || c.Reader.Kind != "pcsc" || c.Till.Socket != defaultSocket || c.Keys.JournalMaster == "" {
			t.Errorf("%v: %+v", err, c)
		}
	}
}

// The list of settings is that of the code, in both directions.
func TestDocumentedSettings(t *testing.T) {
	raw, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "\n## Settings\n")
	table, _, _ := strings.Cut(rest, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			documented = append(documented, strings.Trim(name, "`"))
		}
	}
	want := settingsOf(reflect.TypeFor[config](), "")
	slices.Sort(documented)
	slices.Sort(want)
	if len(want) < 20 || !slices.Equal(documented, want) {
		t.Errorf("documented: %q\nin the code: %q", documented, want)
	}
}

func settingsOf(s reflect.Type, prefix string) []string {
	var names []string
	for i := range s.NumField() {
		f := s.Field(i)
		switch name := f.Tag.Get("toml"); {
		case f.Anonymous:
			names = append(names, settingsOf(f.Type, prefix)...)
		case f.Type.Kind() == reflect.Struct:
			names = append(names, settingsOf(f.Type, prefix+name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// What the cashier sees is what the document says.
func TestDocumentedStates(t *testing.T) {
	raw, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []terminal.State{
		terminal.Created, terminal.AwaitingTap, terminal.Reading, terminal.Authorising, terminal.Unknown, terminal.Approved,
		terminal.Stored, terminal.Declined, terminal.Cancelled, terminal.Expired, terminal.Failed,
	} {
		p := till.Payment{State: string(state)}
		row := fmt.Sprintf("| `%s` | %s | %s |", state, p.Words().ZH, p.Words().EN)
		if !strings.Contains(string(raw), row) {
			t.Errorf("%s has no row %s", operations, row)
		}
	}
}

// "A store by hand" and "Keys" of the operations page, typed as they stand
// there, with the real programs.
func TestStoreByHand(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs all programs")
	}
	for _, tool := range []string{"openssl", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	broker, err := uplinktest.NewBroker(uplinktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Stop()
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hand") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bin := buildAll(t, "./cmd/tapkeeper", "./cmd/walletd", "./cmd/phonesim")
	script := "set -eu\n" + strings.Join(blocks(t, operations, "sh"), "\n") + "\nkill $(jobs -p)\nwait\n"
	script = strings.ReplaceAll(script, "127.0.0.1:1883", broker.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SOURCE="+source, "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"支付成功 / Approved", "order 1001, attempt 1", "0 waiting, 0 parked", "MATCH", "phone left the field"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%v, no %q in:\n%s", err, want, out)
		}
	}
}
