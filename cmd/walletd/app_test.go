package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapkeeper/wallet/backend"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// A phone pays offline, its app tells and gets the next allowance, twice.
func TestAppSync(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wallet")
	mustRun(t, "init", "--dir", dir)
	file := filepath.Join(dir, phonesName, "alice.json")
	tap := func(n byte) {
		p, err := phone.Open(file, phone.Options{})
		must(t, err)
		_, _, err = backendtest.Tap{Payment: [16]byte{n}, Amount: 700, Ask: backendtest.AskTC, Merchant: "tea", Terminal: "TERM0001", At: time.Now(), Kind: 1}.Do(p)
		must(t, err)
	}
	for n := byte(1); n <= 2; n++ {
		tap(n)
		out := mustRun(t, "app", "sync", "--dir", dir, "--phone", file)
		_, text, _ := strings.Cut(out, " ")
		var r phone.Reply
		must(t, json.Unmarshal([]byte(text), &r))
		if len(r.Grant) != 126 || r.Undelivered != 700*int64(n) || r.Status != "active" {
			t.Errorf("sync %d: %s", n, out)
		}
	}
	f, err := phone.LoadFile(file)
	must(t, err)
	if s := f.State.Cards[0]; s.Spent != 0 || len(s.Taps) != 0 || s.ATC != 2 {
		t.Errorf("the phone has %+v", s)
	}
	if out := mustRun(t, "app", "release", "--dir", dir); out != "0 taps released\n" {
		t.Error(out)
	}
	if code, _, stderr := walletd(t, "app", "sync", "--dir", dir, "--phone", "nowhere"); code != exitConfig || !strings.Contains(stderr, "hint:") {
		t.Errorf("no file: exit %d, %s", code, stderr)
	}
}

// The same over HTTP, with what a stranger may send.
func TestAppOverHTTP(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "wallet")
	mustRun(t, "init", "--dir", dir)
	p, err := phone.Open(filepath.Join(dir, phonesName, "bob.json"), phone.Options{})
	must(t, err)
	cards, err := phone.LoadFile(filepath.Join(dir, phonesName, "bob.json"))
	must(t, err)
	upload, err := p.Upload(cards.Cards[0].ADF, true)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- withApp(ctx, &shared{dir: dir}, func(a *backend.App) error { return serveApp(ctx, l, a) })
	}()
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	post := func(body []byte) (int, []byte) {
		t.Helper()
		r, err := client.Post("http://"+l.Addr().String()+uploadPath, "application/jose", bytes.NewReader(body))
		must(t, err)
		defer r.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(r.Body)
		must(t, err)
		return r.StatusCode, b.Bytes()
	}
	code, reply := post(upload)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, reply)
	}
	must(t, p.Apply(cards.Cards[0].ADF, upload, reply))
	if code, _ := post(upload[:len(upload)-3]); code != http.StatusUnprocessableEntity {
		t.Errorf("cut: %d", code)
	}
	if code, _ := post(bytes.Repeat([]byte{'a'}, backend.MaxUpload+1)); code != http.StatusBadRequest {
		t.Errorf("long: %d", code)
	}
	if err := p.Apply(cards.Cards[0].ADF, []byte("other"), reply); err == nil {
		t.Error("a reply to another upload was taken")
	}
	stop()
	must(t, <-done)
}

// The wallet writes out a double spend, and the CA key alone tests it.
func TestProofVerbs(t *testing.T) {
	dir, out := filepath.Join(t.TempDir(), "wallet"), filepath.Join(t.TempDir(), "proofs")
	mustRun(t, "init", "--dir", dir)
	cards, err := phone.LoadFile(filepath.Join(dir, phonesName, "alice.json"))
	must(t, err)
	keys, err := loadKeys(dir)
	must(t, err)
	verifier, err := keys.Issuer.Verifier()
	must(t, err)
	must(t, withLedger(t.Context(), &shared{dir: dir}, func(l *ledger.Ledger) error {
		for n := byte(1); n <= 2; n++ {
			twin, err := backendtest.New(cards.Cards[0], time.Now)
			must(t, err)
			record, _, err := backendtest.Tap{Payment: [16]byte{n}, Amount: 700, Ask: backendtest.AskTC, Merchant: "tea", Terminal: "TERM0001", At: time.Now(), Kind: 1}.Do(twin)
			must(t, err)
			must(t, l.Update(t.Context(), func(tx *ledger.Tx) error { _, err := verifier.Examine(record, nil).Judge(tx); return err }))
		}
		return nil
	}))
	if text := mustRun(t, "proof", "list", "--dir", dir, "--out", out); strings.Count(text, "\n") != 2 || !strings.Contains(text, "counter") {
		t.Errorf("list:\n%s", text)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.tlv"))
	must(t, err)
	ca, err := filepath.Glob(filepath.Join(dir, publicName, "capk", "test", "*.toml"))
	must(t, err)
	if len(files) != 2 || len(ca) != 1 {
		t.Fatalf("files %v, keys %v", files, ca)
	}
	if text := mustRun(t, "proof", "verify", "--ca", ca[0], "--first", files[0], "--second", files[1]); !strings.Contains(text, "rule counter") {
		t.Errorf("verify: %s", text)
	}
	if code, _, _ := walletd(t, "proof", "verify", "--ca", ca[0], "--first", files[0], "--second", files[0]); code != exitUnexpected {
		t.Errorf("a record against itself: exit %d", code)
	}
	must(t, os.WriteFile(files[1], []byte("x"), 0o600))
	if code, _, _ := walletd(t, "proof", "verify", "--ca", ca[0], "--first", files[0], "--second", files[1]); code != exitUnexpected {
		t.Errorf("a damaged record: exit %d", code)
	}
}
