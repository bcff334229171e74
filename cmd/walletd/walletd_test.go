package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

var lane = wire.Address{Merchant: "tea", Terminal: "lane-1"}

// patience bounds every wait of this file; a broker on loopback answers within milliseconds.
const patience = 20 * time.Second

// output is a stream that a test reads while the program writes it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// walletd runs the program to its end.
func walletd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs output
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// mustRun runs the program and wants success and silence on stderr.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := walletd(t, args...)
	if code != exitOK || stderr != "" {
		t.Fatalf("walletd %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// terminalKey makes a terminal's key and writes its public half as a PEM file.
func terminalKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	path := filepath.Join(t.TempDir(), "terminal.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644))
	return private, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readPublic reads a key of the folder that init wrote for terminals.
func readPublic[K any](t *testing.T, dir, name string) K {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, publicName, name))
	must(t, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(t, err)
	k, ok := key.(K)
	if !ok {
		t.Fatalf("%s holds a %T", name, key)
	}
	return k
}

// terminalEnd is a terminal on the broker: its keys and the answers it hears.
type terminalEnd struct {
	*testing.T
	wire    *wire.Terminal
	client  mqtt.Client
	answers chan []byte
}

func (e *terminalEnd) connect(address string) {
	e.Helper()
	e.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("lane").SetAutoReconnect(false).SetProtocolVersion(4))
	for _, token := range []func() mqtt.Token{
		e.client.Connect,
		func() mqtt.Token {
			return e.client.Subscribe(lane.DownFilter(), 1, func(_ mqtt.Client, m mqtt.Message) { e.answers <- m.Payload() })
		},
	} {
		if t := token(); !t.WaitTimeout(patience) || t.Error() != nil {
			e.Fatalf("terminal: %v", t.Error())
		}
	}
}

// ask publishes until an answer comes: what is sent while the wallet is away is lost.
func (e *terminalEnd) ask(k wire.Kind, raw []byte) []byte {
	e.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		e.client.Publish(lane.UpTopic(k), 1, false, raw)
		select {
		case a := <-e.answers:
			return a
		case <-time.After(time.Second):
		}
	}
	e.Fatalf("no answer to %s", k)
	return nil
}

func TestOneAuthorisationOverARealBroker(t *testing.T) {
	broker := uplinktest.Mosquitto(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer broker.Kill()
	private, keyFile := terminalKey(t)
	dir := filepath.Join(t.TempDir(), "wallet")
	mustRun(t, "init", "--dir", dir, "--merchant", "tea", "--terminal", "lane-1", "--terminal-key", keyFile)

	ctx, stop := context.WithCancel(t.Context())
	var log output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--dir", dir, "--broker", broker.URL(), "--workers", "2"}, &log, &log)
	}()
	defer stop()
	signing, err := wire.NewSigningKey(private)
	must(t, err)
	terminal, err := wire.NewTerminal(wire.TerminalKeys{Address: lane, Signing: signing,
		WalletSigning:    []ed25519.PublicKey{readPublic[ed25519.PublicKey](t, dir, "wallet-signing.pem")},
		WalletEncryption: readPublic[*ecdsa.PublicKey](t, dir, "wallet-encryption.pem")})
	must(t, err)
	end := &terminalEnd{T: t, wire: terminal, answers: make(chan []byte, 10)}
	end.connect(broker.Addr())

	now := time.Now()
	wallet, err := phone.Open(filepath.Join(dir, phonesName, "alice.json"), phone.Options{})
	must(t, err)
	record, _, err := backendtest.Tap{Payment: [16]byte{1}, Amount: 1250, Ask: backendtest.AskARQC, Connected: true, Merchant: "tea",
		Terminal: "TERM0001", At: now, Kind: 2}.Do(wallet)
	must(t, err)
	raw, err := terminal.Seal(wire.Header{ID: wire.ID{9}, Sequence: 1, Time: now}, wire.Authorisation{Payment: wire.Payment{
		PaymentID: wire.ID{1}, OrderRef: "1001", AmountMinor: 1250, Currency: "CNY", BusinessDay: now.Format(time.DateOnly),
		AcceptedAt: wire.At(now), RecordKind: 2, Record: wire.NewRecord(record)}})
	must(t, err)
	first := end.ask(wire.KindAuthorisation, raw)
	answer, err := terminal.Open(lane.DownTopic(wire.KindReceipt), first)
	must(t, err)
	if r := answer.Data.(wire.Receipt); r.Result != wire.Accepted || r.State != wire.StateTaken || r.AmountMinor != 1250 {
		t.Errorf("receipt: %+v", r)
	}
	if !bytes.Equal(end.ask(wire.KindAuthorisation, raw), first) {
		t.Error("the repetition got another answer")
	}

	// A broker stops after 20 messages that nobody acknowledged; the wallet must.
	for n := range 50 {
		raw, err := terminal.Seal(wire.Header{ID: wire.ID{11, byte(n)}, Time: now}, wire.Echo{})
		must(t, err)
		end.ask(wire.KindEcho, raw)
	}

	// The broker dies and forgets everything; the wallet comes back by itself.
	end.client.Disconnect(100)
	broker.Kill()
	broker.Restart()
	end.connect(broker.Addr())
	echo, err := terminal.Seal(wire.Header{ID: wire.ID{10}, Time: now}, wire.Echo{})
	must(t, err)
	end.ask(wire.KindEcho, echo)
	end.client.Disconnect(100)
	stop()
	select {
	case code := <-done:
		if code != exitOK {
			t.Errorf("serve ended with %d", code)
		}
	case <-time.After(patience):
		t.Fatalf("serve did not stop:\n%s", log.String())
	}
	lists(t, dir)
}

// lists holds what the verbs print after one payment of 12.50.
func lists(t *testing.T, dir string) {
	t.Helper()
	var accounts []ledger.Account
	must(t, json.Unmarshal([]byte(mustRun(t, "accounts", "--dir", dir, "--json")), &accounts))
	balances := map[string]int64{}
	for _, a := range accounts {
		balances[a.ID] = a.BalanceMinor
	}
	if balances["alice"] != 98750 || balances["merchant:tea"] != 1250 {
		t.Errorf("balances %v", balances)
	}
	if text := mustRun(t, "accounts", "--dir", dir); !strings.Contains(text, "987.50 CNY") || !strings.Contains(text, "blocked") {
		t.Errorf("accounts:\n%s", text)
	}
	text := mustRun(t, "payments", "--dir", dir, "--merchant", "tea")
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "12.50 CNY") || !strings.Contains(text, "taken") {
		t.Errorf("payments:\n%s", text)
	}
	var views []paymentView
	must(t, json.Unmarshal([]byte(mustRun(t, "payments", "--dir", dir, "--json", "--day", "2000-01-01")), &views))
	if views == nil || len(views) != 0 {
		t.Errorf("payments of another day: %v", views)
	}
	if text := mustRun(t, "check", "--dir", dir); text != "the books add up\n" {
		t.Errorf("check: %s", text)
	}
}
