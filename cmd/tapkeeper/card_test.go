package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
	"tapkeeper/reader/readertest"
	"tapkeeper/till"
	"tapkeeper/wallet/phone"
)

// deaf is a card that counts what it hears.
type deaf struct{ heard int }

func (d *deaf) Transmit(context.Context, []byte) ([]byte, time.Duration, error) {
	d.heard++
	return []byte{0x6A, 0x82}, 0, nil
}

func (d *deaf) Release(time.Duration) error { return nil }

// TestProbeIsHarmless tries every class and instruction: four of them reach the
// card, and GENERATE AC of no class does.
func TestProbeIsHarmless(t *testing.T) {
	allowed := ""
	for cla := range 0x100 {
		for ins := range 0x100 {
			card := &deaf{}
			p := &probe{card: card}
			_, err := p.send(t.Context(), apdu.Command{CLA: byte(cla), INS: byte(ins), P1: 0x40, Data: []byte{1}, Le: apdu.MaxLe})
			if (err == nil) != (card.heard > 0) || err != nil && !errors.Is(err, errHarmful) {
				t.Fatalf("%02X%02X: %v, heard %d", cla, ins, err, card.heard)
			}
			if err == nil {
				allowed += fmt.Sprintf("%02X%02X ", cla, ins)
			}
			if ins == apdu.InsGenerateAC && err == nil {
				t.Errorf("GENERATE AC of class %02X reaches the card", cla)
			}
		}
	}
	if allowed != "00A4 00B2 00C0 80A8 " {
		t.Errorf("allowed: %s", allowed)
	}
}

// recorder is a phone whose commands are kept.
type recorder struct {
	readertest.Phone
	heard [][]byte
}

func (r *recorder) Transmit(c []byte) []byte {
	r.heard = append(r.heard, bytes.Clone(c))
	return r.Phone.Transmit(c)
}

// harm reports commands that a reading must not send.
func (r *recorder) harm() (found []string) {
	for _, c := range r.heard {
		if c[1] != apdu.InsSelect && c[1] != apdu.InsGPO && c[1] != apdu.InsReadRecord && c[1] != apdu.InsGetResponse {
			found = append(found, hex.EncodeToString(c[:2]))
		}
	}
	return found
}

// strict is a store that nothing may be saved in: a reading changes no phone.
type strict struct{ t *testing.T }

func (s strict) Save(phone.State) error {
	s.t.Error("the phone has something to remember of a reading")
	return nil
}

// honestCard is the first card of the vectors whose phone is honest and has a grant.
func honestCard(t *testing.T) (emvtest.Card, phone.Profile) {
	t.Helper()
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dialogues {
		if !d.Phone.Honest || len(d.Phone.Cards) != 1 || len(d.Phone.Cards[0].Grant) == 0 {
			continue
		}
		c := d.Phone.Cards[0]
		p := phone.Profile{
			ADF: phone.Hex(c.ADF), Kind: c.ADF[6], Label: string(c.Label), Priority: byte(c.Priority),
			Qualifier: phone.Hex(c.CardQualifier), AIP: phone.Hex(c.AIP), AFL: phone.Hex(c.AFL), PDOL: phone.Hex(c.PDOL),
			CDOL1: phone.Hex(c.CDOL1), Grant: phone.Hex(c.Grant), DeviceID: phone.Hex(c.DeviceID), KVN: c.KVN,
			Currency: phone.Hex(c.AccountCurrency), Expiry: phone.Hex(c.Expiry), Build: phone.Hex(c.Build), Relay: phone.RelayTimes(c.Relay),
			SignKey: channel.NewSecret(c.DS), AgreeKey: channel.NewSecret(c.DC), ACKey: channel.NewSecret(c.MKac), ReferenceKey: channel.NewSecret(c.Kref),
		}
		for _, r := range c.Records {
			p.Records = append(p.Records, phone.Record{SFI: r.SFI, Number: r.Record, Content: phone.Hex(r.Content), Encrypted: r.Encrypted})
		}
		return c, p
	}
	t.Fatal("no honest card in the vectors")
	return emvtest.Card{}, phone.Profile{}
}

// read holds a phone to a reader in this process.
func read(t *testing.T, p readertest.Phone, f readertest.Faults, asJSON bool) (string, error) {
	t.Helper()
	r := readertest.NewReader("test reader")
	defer r.Close()
	if err := r.PresentWith(p, f); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := readCard(t.Context(), r, cardFlags{wait: 5 * time.Second}, &out, asJSON)
	return out.String(), err
}

// TestReadOwnPhone: of the scheme's phone the plain records are read, the others
// are named as encrypted, and nothing is left behind on it.
func TestReadOwnPhone(t *testing.T) {
	c, profile := honestCard(t)
	for _, notDefault := range []bool{false, true} {
		w, err := phone.New([]phone.Profile{profile}, phone.State{}, phone.Options{Store: strict{t}, NotDefault: notDefault})
		if err != nil {
			t.Fatal(err)
		}
		rec := &recorder{Phone: w}
		out, err := read(t, rec, readertest.Faults{}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"card on test reader, 1 application\n", fmt.Sprintf("application %X: 9000\n", []byte(c.ADF)), "options: 9000\n",
			"82 AIP [2] C109", "9F8103 Card Key Data [64] masked", "record 1 of file 1: 9000\n", "90 Issuer certificate [122]",
			"usage [1] C0, may issue device certificates, may issue allowance grants",
			"record 1 of file 2: 9000\n  encrypted for a terminal that takes a payment; it stays so\n   0  DA Encrypted record [",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("not default %v: no %q in\n%s", notDefault, want, out)
			}
		}
		if harm := rec.harm(); len(harm) > 0 {
			t.Errorf("sent %q", harm)
		}
		for _, secret := range []emvtest.Hex{c.Grant, c.DeviceID, c.Kref, c.MKac} {
			if strings.Contains(out, fmt.Sprintf("%X", []byte(secret))) {
				t.Errorf("shown: %X", []byte(secret))
			}
		}
	}
}

func TestReadJSON(t *testing.T) {
	_, profile := honestCard(t)
	w, err := phone.New([]phone.Profile{profile}, phone.State{}, phone.Options{Store: strict{t}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := read(t, w, readertest.Faults{}, true)
	var got reading
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.Found != 1 || len(got.Steps) < 6 || got.Steps[0].Answer == nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestReadTornCard: what was seen stands there, and a person is told what to do.
func TestReadTornCard(t *testing.T) {
	_, profile := honestCard(t)
	w, err := phone.New([]phone.Profile{profile}, phone.State{}, phone.Options{Store: strict{t}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := read(t, w, readertest.Faults{RemoveAfter: 3}, false)
	var f *failure
	if !errors.As(err, &f) || f.code != exitTryAgain || f.hint == "" || !strings.Contains(out, "PPSE: 9000") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCardUsage(t *testing.T) {
	for args, want := range map[string]string{
		"card": "want: card read", "card write": "want: card read", "card read x": "want: card read",
		"card read --reader a --virtual b": "exclude each other", "card read --wait 0s": "--wait must be more than 0",
	} {
		var out, problems bytes.Buffer
		status := run(t.Context(), strings.Fields(args), &out, &problems)
		if status != exitUsage || !strings.Contains(problems.String(), want) || out.Len() > 0 {
			t.Errorf("%s: %d %s%s", args, status, &out, &problems)
		}
	}
}

func TestNoCard(t *testing.T) {
	r := readertest.NewReader("test reader")
	defer r.Close()
	err := readCard(t.Context(), r, cardFlags{wait: 50 * time.Millisecond}, &bytes.Buffer{}, false)
	if err == nil || err.Error() != "no card within 50ms" {
		t.Error(err)
	}
	r.Unplug()
	err = readCard(t.Context(), r, cardFlags{wait: time.Minute}, &bytes.Buffer{}, false)
	if err == nil || err.Error() != "test reader: reader not plugged in" {
		t.Error(err)
	}
}

// greedy is a card that never comes to an end.
type greedy struct{}

func (greedy) PowerOn()  {}
func (greedy) PowerOff() {}
func (greedy) Transmit(c []byte) []byte {
	switch {
	case c[1] == apdu.InsSelect && bytes.Contains(c, []byte(apdu.PPSE)):
		var entries []byte
		for i := range byte(200) {
			entries = tlv.Append(entries, 0x61, tlv.Append(nil, 0x4F, []byte{0xA0, 0, 0, 0, 3, i}))
		}
		return append(tlv.Append(nil, 0x6F, tlv.Append(nil, 0xBF0C, entries)), 0x90, 0)
	case c[1] == apdu.InsSelect:
		return append(tlv.Append(nil, 0x6F, tlv.Append(nil, 0x84, c[5:len(c)-1])), 0x90, 0)
	case c[1] == apdu.InsGPO:
		afl := bytes.Repeat([]byte{0x08, 0x01, 0xFF, 0x00}, 60)
		return append(tlv.Append(nil, 0x77, tlv.Append(nil, 0x94, afl)), 0x90, 0)
	}
	return append(bytes.Repeat([]byte{0xA5}, 200), 0x61, 0xFF) // always more
}

func TestGreedyCard(t *testing.T) {
	rec := &recorder{Phone: greedy{}}
	out, err := read(t, rec, readertest.Faults{}, false)
	if err == nil || !strings.Contains(err.Error(), "more than 512 commands") || len(rec.heard) != maxCommands || len(out) > 1<<20 {
		t.Errorf("%v, %d commands, %d characters", err, len(rec.heard), len(out))
	}
}

// TestCardReadVirtual runs the verb with a phone on its socket, and refuses a
// socket that somebody holds.
func TestCardReadVirtual(t *testing.T) {
	_, profile := honestCard(t)
	w, err := phone.New([]phone.Profile{profile}, phone.State{}, phone.Options{Store: strict{t}})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "card") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	field, nobody := filepath.Join(dir, "field"), filepath.Join(dir, "none")
	served := make(chan error, 1)
	go func() {
		var conn net.Conn
		for {
			if conn, err = net.Dial("unix", field); err == nil || t.Context().Err() != nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if conn != nil {
			err = readertest.Serve(t.Context(), conn, w)
		}
		served <- err
	}()
	var out, problems bytes.Buffer
	status := run(t.Context(), []string{"card", "read", "--virtual", field, "--socket", nobody}, &out, &problems)
	if status != exitOK || problems.Len() > 0 || !strings.Contains(out.String(), "record 1 of file 1: 9000") {
		t.Errorf("%d %s\n%s", status, &problems, &out)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	l, err := net.Listen("unix", field)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	problems.Reset()
	status = run(t.Context(), []string{"card", "read", "--virtual", field, "--socket", nobody}, &out, &problems)
	if status != exitTryAgain || !strings.Contains(problems.String(), "hint: another program, perhaps the daemon, holds this socket") {
		t.Errorf("%d %s", status, &problems)
	}
}

// TestCardReadRefusesDaemon: a reader that the daemon names is not touched.
func TestCardReadRefusesDaemon(t *testing.T) {
	dir, err := os.MkdirTemp("", "card")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "till")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if name == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(till.Status{Reader: till.ReaderStatus{Name: name}})
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	for _, c := range []struct {
		name    string
		flags   cardFlags
		refused bool
	}{
		{"ACS 00 00", cardFlags{}, true},
		{"ACS 00 00", cardFlags{reader: "ACS 00 00"}, true},
		{"ACS 00 00", cardFlags{reader: "Other 00 00"}, false},
		{"ACS 00 00", cardFlags{virtual: "/tmp/x"}, false},
		{firstReader, cardFlags{reader: "Other 00 00"}, true},
		{"virtual /tmp/x", cardFlags{virtual: "/tmp/x"}, true},
		{"virtual /tmp/x", cardFlags{virtual: "/tmp/y"}, false},
		{"virtual /tmp/x", cardFlags{}, false},
		{"", cardFlags{}, true},
	} {
		name = c.name
		err := refuseDaemon(t.Context(), socket, c.flags)
		var f *failure
		if (err != nil) != c.refused || err != nil && (!errors.As(err, &f) || f.code != exitTryAgain || !strings.Contains(f.hint, "systemctl stop tapkeeper")) {
			t.Errorf("daemon on %q, flags %+v: %v", c.name, c.flags, err)
		}
	}
	if err := refuseDaemon(t.Context(), filepath.Join(dir, "none"), cardFlags{}); err != nil {
		t.Error(err)
	}
}

// foreignCard answers as a recorded card did: SELECT and READ RECORD by their
// bytes, GET PROCESSING OPTIONS by the application selected last.
type foreignCard struct {
	exchanges []struct{ CAPDU, RAPDU string }
	selected  int
}

func (f *foreignCard) PowerOn()  { f.selected = 0 }
func (f *foreignCard) PowerOff() {}
func (f *foreignCard) Transmit(c []byte) []byte {
	text := strings.ToUpper(hex.EncodeToString(c))
	for i, x := range f.exchanges {
		heard := x.CAPDU == text
		if c[1] == apdu.InsGPO {
			heard = i > f.selected && (strings.HasPrefix(x.CAPDU, "80A8") || x.CAPDU == "" && (strings.HasPrefix(x.RAPDU, "77") || strings.HasPrefix(x.RAPDU, "80")))
		}
		if c[1] == apdu.InsReadRecord {
			heard = i > f.selected && strings.HasPrefix(x.CAPDU, text[:8])
		}
		if answer, err := hex.DecodeString(x.RAPDU); heard && err == nil && len(answer) >= 2 {
			if c[1] == apdu.InsSelect {
				f.selected = i
			}
			return answer
		}
	}
	return []byte{0x6A, 0x82}
}

// account finds the numbers and tracks of a recorded answer.
var account = regexp.MustCompile(`(?:5A0[789A]|571[0-3])([0-9]{13,19})`)

// TestReadForeignCards reads the cards of other schemes that were recorded by
// others: applications and records appear, account numbers do not.
func TestReadForeignCards(t *testing.T) {
	dir := os.Getenv("TAPKEEPER_EMV_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors", "emv")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "transcripts.json"))
	if err != nil {
		t.Skipf("no recorded cards of other schemes; name their folder with TAPKEEPER_EMV_VECTORS: %v", err)
	}
	var f struct {
		Transcripts []struct {
			ID        string
			Exchanges []struct{ CAPDU, RAPDU string }
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	applications, records, numbers := 0, 0, 0
	for _, tr := range f.Transcripts {
		rec := &recorder{Phone: &foreignCard{exchanges: tr.Exchanges}}
		out, err := read(t, rec, readertest.Faults{}, false)
		if err != nil {
			t.Errorf("%s: %v", tr.ID, err)
		}
		if harm := rec.harm(); len(harm) > 0 {
			t.Errorf("%s: sent %q", tr.ID, harm)
		}
		applications += strings.Count(out, "\napplication ")
		records += strings.Count(out, "\nrecord ")
		for _, x := range tr.Exchanges {
			for _, m := range account.FindAllStringSubmatch(x.RAPDU, -1) {
				if numbers++; strings.Trim(m[1], "9") != "" && strings.Contains(out, m[1][:13]) {
					t.Errorf("%s: shows an account number", tr.ID)
				}
			}
		}
	}
	if applications < 10 || records < 20 || numbers == 0 {
		t.Errorf("%d applications, %d records, %d numbers prove little", applications, records, numbers)
	}
	t.Logf("%d cards: %d applications, %d records, none of %d numbers shown", len(f.Transcripts), applications, records, numbers)
}

// TestCardReadPCSC runs the verb in a process of its own against a real pcscd,
// which libpcsclite finds once in a process: without a card, then with a phone.
func TestCardReadPCSC(t *testing.T) {
	if !hasPCSC {
		if os.Getenv("CI") == "true" {
			t.Fatal("built without PC/SC")
		}
		t.Skip("built without PC/SC")
	}
	pcscd := readertest.VPCD(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "tapkeeper") // the name by which TestMain knows the tool
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), program, append([]string{"card", "read", "--socket", "none"}, args...)...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := tool("--reader", "ACME Reader 00 00", "--wait", "20s"); err == nil || !strings.Contains(out, "error: ACME Reader 00 00: reader not plugged in\nhint: ") {
		t.Errorf("a reader that is not there: %v %s", err, out)
	}
	if out, err := tool("--wait", "300ms"); err == nil || !strings.Contains(out, "error: no card within 300ms\nhint: ") {
		t.Errorf("no card: %v %s", err, out)
	}
	_, profile := honestCard(t)
	w, err := phone.New([]phone.Profile{profile}, phone.State{}, phone.Options{Store: strict{t}})
	if err != nil {
		t.Fatal(err)
	}
	field := readertest.DialField{Network: "tcp", Address: pcscd.Address}
	if err := field.Present(w); err != nil {
		t.Fatal(err)
	}
	out, err := tool("--reader", pcscd.Reader)
	field.Remove()
	field.Wait()
	if err != nil || !strings.Contains(out, "card on "+pcscd.Reader+", 1 application\n") || !strings.Contains(out, "record 1 of file 1: 9000\n") {
		t.Errorf("%v %s", err, out)
	}
}
