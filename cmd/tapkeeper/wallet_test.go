package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapkeeper/uplink/conform"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/ledger"
)

// wallet is the reference wallet on a broker in this process, with a kit; deaf
// makes it leave queries unanswered.
func wallet(t *testing.T, deaf bool) (url, kit string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	books, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger.db"))
	must(err)
	t.Cleanup(func() { books.Close() })
	issuer, err := backend.NewIssuer(time.Now(), rand.Reader)
	must(err)
	keys, err := backend.NewKeys(issuer, rand.Reader)
	must(err)
	verifier, err := issuer.Verifier()
	must(err)
	service, err := backend.NewService(backend.Config{Ledger: books, Verifier: verifier, Signing: keys.Signing, Decryption: keys.Decryption})
	must(err)
	kit = filepath.Join(dir, "kit")
	must(backend.WriteTestKit(t.Context(), books, keys, kit, "CNY", time.Now()))
	broker, err := uplinktest.NewBroker(uplinktest.Options{})
	must(err)
	t.Cleanup(broker.Stop)
	must(broker.Serve(wire.UpFilter, func(topic string, payload []byte) (answers []uplinktest.Publication) {
		if deaf && strings.HasSuffix(topic, "/query") {
			return nil
		}
		out, _ := service.Handle(context.Background(), topic, payload)
		for _, p := range out {
			answers = append(answers, uplinktest.Publication{Topic: p.Topic, Payload: p.Payload})
		}
		return answers
	}))
	return broker.URL(), kit
}

func conformRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"wallet", "conform"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestWalletConform(t *testing.T) {
	url, kit := wallet(t, false)
	code, stdout, stderr := conformRun(t, "--broker", url, "--kit", kit, "--case", "1,10,61,150")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "CONFORMS: 3 passed, 0 failed, 1 skipped") || !strings.Contains(stdout, "skipped 150") {
		t.Errorf("text: exit %d\n%s%s", code, stdout, stderr)
	}
	marker := filepath.Join(t.TempDir(), "restarted")
	code, stdout, _ = conformRun(t, "--broker", url, "--kit", kit, "--case", "150", "--restart", "touch "+marker, "--json")
	var report conform.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || err != nil || report.Passed != 1 || report.Cases[0].Number != 150 {
		t.Errorf("json: exit %d, %v\n%s", code, err, stdout)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("the restart command was not run: %v", err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	code, stdout, _ = conformRun(t, "--broker", url, "--kit", kit, "--case", "1,2", "--format", "junit", "--output", file)
	text, err := os.ReadFile(file)
	var suite struct {
		Tests int `xml:"tests,attr"`
		Cases []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if err != nil || xml.Unmarshal(text, &suite) != nil || code != exitOK || stdout != "" || suite.Tests != 2 || len(suite.Cases) != 2 {
		t.Errorf("junit: exit %d, %v\n%s", code, err, text)
	}
	if code, stdout, _ := conformRun(t, "--list"); code != exitOK || strings.Count(stdout, "\n") != len(conform.Cases()) {
		t.Errorf("list: exit %d\n%s", code, stdout)
	}
}

func TestWalletThatDoesNotConform(t *testing.T) {
	url, kit := wallet(t, true)
	code, stdout, stderr := conformRun(t, "--broker", url, "--kit", kit, "--case", "1,61", "--patience", "2s")
	if code != exitUnexpected || !strings.Contains(stdout, "DOES NOT CONFORM: 1 passed, 1 failed, 0 skipped") ||
		!strings.Contains(stdout, "rule: Down: status") || !strings.Contains(stderr, "error: 1 of 2 cases failed") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

func TestConformRefuses(t *testing.T) {
	url, kit := wallet(t, false)
	empty, err := uplinktest.NewBroker(uplinktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Stop()
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no kit":             {[]string{"--broker", url}, exitUsage},
		"no broker":          {[]string{"--kit", kit}, exitUsage},
		"a strange broker":   {[]string{"--kit", kit, "--broker", "http://x"}, exitUsage},
		"an unknown case":    {[]string{"--kit", kit, "--broker", url, "--case", "9999"}, exitUsage},
		"an unknown format":  {[]string{"--kit", kit, "--broker", url, "--format", "yaml"}, exitUsage},
		"a word too many":    {[]string{"--kit", kit, "--broker", url, "more"}, exitUsage},
		"a kit that is none": {[]string{"--kit", t.TempDir(), "--broker", url}, exitConfig},
		"nobody there":       {[]string{"--kit", kit, "--broker", empty.URL(), "--patience", "60ms"}, exitUnavailable},
		"a broker away":      {[]string{"--kit", kit, "--broker", "mqtt://127.0.0.1:1"}, exitUnavailable},
	} {
		if code, stdout, stderr := conformRun(t, c.args...); code != c.code || stdout != "" || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit %d, want %d\n%s%s", name, code, c.code, stdout, stderr)
		}
	}
}
