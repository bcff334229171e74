package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/till"
)

// go test ./cmd/tapkeeper -run TestScripts -update rewrites what a script
// compares with; the difference is for review.
var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tapkeeper": main})
}

// TestScripts are people who type: every file below testdata/script.
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TAPKEEPER_SOCKET", filepath.Join(env.WorkDir, "till.sock"))
			return furnish(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refused": refused, "set": set, "folder": folder, "answers": answers,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "cgo":
				return hasPCSC, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
	})
}

// furnish makes a whole configuration whose broker does not exist.
func furnish(dir string) error {
	master := make([]byte, 32)
	if _, err := rand.Read(master); err != nil {
		return err
	}
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(signing)
	if err != nil {
		return err
	}
	walletSigning, err := x509.MarshalPKIXPublicKey(signing.Public())
	if err != nil {
		return err
	}
	encryption, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	walletEncryption, err := x509.MarshalPKIXPublicKey(encryption.Public())
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"keys/journal-master":        []byte(hex.EncodeToString(master) + "\n"),
		"keys/terminal-signing.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"keys/wallet-signing.pem":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletSigning}),
		"keys/wallet-encryption.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: walletEncryption}),
		"tapkeeper.toml":             []byte(strings.ReplaceAll(settings, "DIR", dir)),
	}
	hotlist, err := bundle.FormatHotlist(1, time.Now().UTC().Truncate(time.Second), nil)
	if err != nil {
		return err
	}
	for name, body := range hotlist {
		files["hotlist/"+name] = body
	}
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return err
		}
	}
	return os.CopyFS(filepath.Join(dir, "firmware"), firmwareconfig.Files())
}

const settings = `environment = "test"
data_dir = "DIR/data"
merchant = "tea-house"
terminal = "till-1"
terminal_id = "TERM0001"

[till]
socket = "DIR/till.sock"

[reader]
kind = "virtual"
socket = "DIR/reader.sock"

[wallet]
broker = "mqtt://127.0.0.1:1"

[keys]
journal_master = "DIR/keys/journal-master"
terminal_signing = "DIR/keys/terminal-signing.pem"
wallet_signing = "DIR/keys/wallet-signing.pem"
wallet_encryption = "DIR/keys/wallet-encryption.pem"

[firmware_config]
dir = "DIR/firmware"
hotlist_dir = "DIR/hotlist"
`

// refused STATUS REGEXP COMMAND...: the command ends with this status, says
// nothing on standard output, and on standard error one line of error, which
// matches, and one of hint. "-log" before STATUS allows log lines before them,
// "-shown" output.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	logs, shown := false, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		logs, shown = logs || args[0] == "-log", shown || args[0] == "-shown"
		args = args[1:]
	}
	if neg || len(args) < 3 {
		ts.Fatalf("usage: refused [-log] [-shown] STATUS REGEXP COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	status := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[2], args[3:]...); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if status != want {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	if logs && len(lines) > 2 {
		lines = lines[len(lines)-2:]
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "error: ") || !strings.HasPrefix(lines[1], "hint: ") || len(lines[1]) < len("hint: ")+8 {
		ts.Fatalf("standard error is not one error line and one hint:\n%s", ts.ReadFile("stderr"))
	}
	if !pattern.MatchString(lines[0]) {
		ts.Fatalf("%q does not match %q", lines[0], args[1])
	}
	if out := ts.ReadFile("stdout"); out != "" && !shown {
		ts.Fatalf("standard output: %s", out)
	}
}

// set FILE KEY VALUE: replaces a setting's line. With [TABLE] for KEY it
// replaces all lines of a table. "\n" in VALUE begins a new line.
func set(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: set FILE KEY VALUE")
	}
	path, key, value := ts.MkAbs(args[0]), args[1], strings.ReplaceAll(args[2], `\n`, "\n")
	old, text := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(key)+` = .*$`), key+" = "+value
	if strings.HasPrefix(key, "[") {
		old, text = regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(key)+`\n(?:[^\n\[].*\n)*`), key+"\n"+value+"\n"
	}
	before := ts.ReadFile(path)
	if !old.MatchString(before) {
		ts.Fatalf("%s has no %s", args[0], key)
	}
	ts.Check(os.WriteFile(path, []byte(old.ReplaceAllLiteralString(before, text)), 0o600))
}

// folder NAME: keeps what is in a folder in $NAME, or with "! folder", nothing
// is there. A second call must find the same names, sizes and times.
func folder(ts *testscript.TestScript, neg bool, args []string) {
	var b strings.Builder
	err := filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	ts.Check(err)
	name := "folder_" + args[0]
	before := ts.Getenv(name)
	switch {
	case neg && b.Len() > 0:
		ts.Fatalf("%s is not empty:\n%s", args[0], b.String())
	case !neg && b.Len() == 0:
		ts.Fatalf("%s is empty", args[0])
	case before != "" && before != b.String():
		ts.Fatalf("%s has changed:\n%s\nnow:\n%s", args[0], before, b.String())
	}
	ts.Setenv(name, b.String())
}

// answers: waits until the daemon answers on the socket; "! answers" until it
// does not.
func answers(ts *testscript.TestScript, neg bool, _ []string) {
	client := till.NewClient(ts.Getenv("TAPKEEPER_SOCKET"))
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if _, err := client.Status(context.Background()); (err == nil) != neg {
			return
		}
	}
	ts.Fatalf("the daemon did not get there in time")
}
