package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tapkeeper/uplink/conform"
	"tapkeeper/uplink/uplinktest"
	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/phone"
)

// thief is whoever has the broker: he keeps all that passes and publishes what he likes.
type thief struct {
	*testing.T
	broker *uplinktest.Broker
	mu     sync.Mutex
	seen   []uplinktest.Publication
}

func (f *thief) see(topic string, payload []byte) []uplinktest.Publication {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, uplinktest.Publication{Topic: topic, Payload: payload})
	return nil
}

// all is what passed so far.
func (f *thief) all() []uplinktest.Publication {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]uplinktest.Publication(nil), f.seen...)
}

// parts are the decoded header and payload of a compact JWS; nil when it is none.
func parts(jws []byte) (header, payload []byte) {
	p := bytes.Split(jws, []byte("."))
	if len(p) != 3 {
		return nil, nil
	}
	header, err := base64.RawURLEncoding.AppendDecode(nil, p[0])
	if err != nil {
		return nil, nil
	}
	payload, err = base64.RawURLEncoding.AppendDecode(nil, p[1])
	if err != nil {
		return nil, nil
	}
	return header, payload
}

// signed puts a payload under a header, signed with the thief's key.
func signed(k ed25519.PrivateKey, header, payload []byte) []byte {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64(payload)
	return []byte(text + "." + b64(ed25519.Sign(k, []byte(text))))
}

// payments counts what the wallet has taken.
func (f *thief) payments(dir string) int {
	f.Helper()
	var views []paymentView
	must(f.T, json.Unmarshal([]byte(mustRun(f.T, "payments", "--dir", dir, "--json")), &views))
	return len(views)
}

// Whoever has the broker cannot make a payment out of what passes, under any
// topic, and each attempt is counted and logged under its name. Nor does he read
// of which card a payment was.
func TestStolenBroker(t *testing.T) {
	broker, err := uplinktest.NewBroker(uplinktest.Options{})
	must(t, err)
	defer broker.Stop()
	f := &thief{T: t, broker: broker}
	must(t, broker.Serve("tapkeeper/#", f.see))
	dir, kit := filepath.Join(t.TempDir(), "wallet"), filepath.Join(t.TempDir(), "kit")
	mustRun(t, "init", "--dir", dir)
	mustRun(t, "conform-kit", "--dir", dir, "--out", kit)
	s := &server{args: []string{"serve", "--dir", dir, "--broker", broker.URL()}}
	s.start(t)
	k, err := conform.LoadKit(kit)
	must(t, err)
	report, err := conform.Run(t.Context(), conform.Config{Broker: broker.URL(), Kit: k, Only: []int{10, 14, 43, 50, 62}, Quiet: time.Millisecond})
	must(t, err)
	if report.Failed > 0 {
		t.Fatalf("the genuine payments: %+v", report.Cases)
	}
	before := f.payments(dir)
	f.readsNoCard(kit)
	attempts := f.forge()
	// Replays of everything are not refused: they change nothing.
	for _, p := range f.all() {
		must(t, broker.Publish(p))
	}
	counted := func(fault string) bool {
		return strings.Contains(s.log.String(), fmt.Sprintf(`"fault":"%s","so_far":%d,`, fault, attempts[fault]))
	}
	for fault := range attempts {
		for end := time.Now().Add(patience); !counted(fault); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d attempts are not counted as %s:\n%s", attempts[fault], fault, s.log)
			}
		}
	}
	s.end(t)
	if after := f.payments(dir); after != before || before == 0 {
		t.Errorf("%d payments before, %d after", before, after)
	}
	if text := mustRun(t, "check", "--dir", dir); text != "the books add up\n" {
		t.Errorf("check: %s", text)
	}
}

// forge makes a new payment out of each message about money, in every way that
// needs no key of others, and counts the attempts by the fault that they have.
func (f *thief) forge() map[string]int {
	f.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(f.T, err)
	attempts := map[string]int{}
	for _, p := range f.all() {
		header, payload := parts(p.Payload)
		var e struct {
			Subject  string `json:"subject"`
			Sequence string `json:"sequence"`
		}
		if header == nil || !strings.Contains(p.Topic, "/up/") || json.Unmarshal(payload, &e) != nil || e.Sequence == "" {
			continue
		}
		// Another payment, another number, a higher amount.
		changed := bytes.ReplaceAll(payload, []byte(e.Subject), []byte(wire.ID{7, 15: byte(len(attempts))}.String()))
		changed = bytes.ReplaceAll(changed, []byte(e.Sequence), []byte("00000000000000000007"))
		changed = bytes.ReplaceAll(changed, []byte(`"amount_minor":`), []byte(`"amount_minor":9`))
		own := fmt.Appendf(nil, `{"alg":"EdDSA","kid":"%s","typ":"tapkeeper.message.v1"}`, wire.KeyID(key.Public()))
		tail := p.Payload[bytes.LastIndexByte(p.Payload, '.')+1:] // the genuine signature of other bytes
		head := bytes.Split(p.Payload, []byte("."))[0]
		elsewhere := strings.Replace(p.Topic, "/lane-1/", "/lane-2/", 1)
		for _, a := range []struct {
			fault, topic string
			raw          []byte
		}{
			{"unsigned", p.Topic, changed},
			{"unknown_key", p.Topic, signed(key, own, changed)},
			{"bad_signature", p.Topic, signed(key, header, changed)},
			{"bad_signature", p.Topic, bytes.Join([][]byte{head, []byte(base64.RawURLEncoding.EncodeToString(changed)), tail}, []byte("."))},
			{"unknown_key", elsewhere, p.Payload},
			{"elsewhere", p.Topic[:strings.LastIndexByte(p.Topic, '/')+1] + "query", p.Payload},
		} {
			must(f.T, f.broker.Publish(uplinktest.Publication{Topic: a.topic, Payload: a.raw}))
			attempts[a.fault]++
		}
	}
	if len(attempts) != 4 {
		f.Fatalf("attempts: %v", attempts)
	}
	return attempts
}

// readsNoCard looks for the card in all that passed, in any spelling.
func (f *thief) readsNoCard(kit string) {
	f.Helper()
	file, err := phone.LoadFile(filepath.Join(kit, "phones", "payer.json"))
	must(f.T, err)
	card := file.Cards[0]
	secrets := map[string][]byte{"device id": card.DeviceID, "applet build": append([]byte{0xDF, 0x8B}, card.Build...)}
	for n, r := range card.Records {
		secrets[fmt.Sprintf("record %d", n)] = r.Content[4:36]
	}
	haystack := &bytes.Buffer{}
	records := 0
	for _, p := range f.all() {
		haystack.Write(p.Payload)
		_, payload := parts(p.Payload)
		haystack.Write(payload)
		var e struct {
			Data struct {
				Record string `json:"record"`
			} `json:"data"`
		}
		if json.Unmarshal(payload, &e) == nil && e.Data.Record != "" {
			records++
			for _, part := range strings.Split(e.Data.Record, ".") {
				raw, err := base64.RawURLEncoding.DecodeString(part)
				must(f.T, err)
				haystack.Write(raw)
			}
		}
	}
	if records == 0 {
		f.Fatal("no record passed: nothing was tested")
	}
	for name, secret := range secrets {
		for _, spelling := range [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
			base64At(secret, 0), base64At(secret, 1), base64At(secret, 2)} {
			if bytes.Contains(haystack.Bytes(), spelling) {
				f.Errorf("the broker reads the card's %s", name)
			}
		}
	}
	// The search itself must be able to find: the order's reference is in the clear.
	if !bytes.Contains(haystack.Bytes(), []byte(`"order_ref":"conform `)) {
		f.Error("the search finds nothing at all")
	}
}

// base64At is what of secret shows in base64url when it begins at an offset of 3.
func base64At(secret []byte, offset int) []byte {
	padded := append(make([]byte, offset), secret...)
	text := base64.RawURLEncoding.EncodeToString(padded)
	return []byte(text[(offset*8+5)/6 : len(text)-2])
}
