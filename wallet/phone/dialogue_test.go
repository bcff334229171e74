package phone

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"tapkeeper/emv/channel"
	"tapkeeper/emv/emvtest"
	"tapkeeper/emv/tlv"
)

// TestHonestDialogues plays every dialogue of an honest phone and compares each
// answer byte for byte (README of the vectors, "How to test a phone simulator").
// Between two taps the wallet is rebuilt from its saved state, so each dialogue
// of more than one tap is a restart test too.
func TestHonestDialogues(t *testing.T) {
	dialogues, err := emvtest.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	var honest, taps, answers int
	for _, d := range dialogues {
		if !d.Phone.Honest {
			continue
		}
		honest++
		t.Run(d.Group+"/"+d.ID, func(t *testing.T) {
			p := newPlayback(t, d.Phone)
			for _, sale := range d.Sales {
				for _, tap := range sale.Taps {
					taps++
					answers += p.tap(tap)
				}
			}
			p.finish()
		})
	}
	if honest == 0 || answers == 0 {
		t.Fatalf("%d honest dialogues, %d answers compared: the vectors prove nothing", honest, answers)
	}
	t.Logf("%d honest dialogues of %d, %d taps, %d answers compared", honest, len(dialogues), taps, answers)
}

// playback is one phone of the vectors over its dialogue.
type playback struct {
	t        *testing.T
	phone    emvtest.Phone
	profiles []Profile
	start    []CardState
	states   []CardState
	verified []bool
	r        [][]emvtest.Hex
	entropy  [][]emvtest.Hex
	selected int // card whose draws are used
}

func newPlayback(t *testing.T, phone emvtest.Phone) *playback {
	p := &playback{t: t, phone: phone}
	for _, c := range phone.Cards {
		p.profiles = append(p.profiles, vectorProfile(c))
		p.start = append(p.start, vectorState(c))
		p.verified = append(p.verified, c.Verified)
		p.r = append(p.r, slices.Clone(c.Draws.R))
		p.entropy = append(p.entropy, slices.Clone(c.Draws.Entropy))
	}
	p.states = slices.Clone(p.start)
	return p
}

// vectorProfile builds a card. Its kind is the last byte of the AID (scheme 1.4).
func vectorProfile(c emvtest.Card) Profile {
	p := Profile{ADF: Hex(c.ADF), Kind: c.ADF[6], Label: string(c.Label), Priority: byte(c.Priority),
		Qualifier: Hex(c.CardQualifier), AIP: Hex(c.AIP), AFL: Hex(c.AFL), PDOL: Hex(c.PDOL), CDOL1: Hex(c.CDOL1),
		Grant: Hex(c.Grant), DeviceID: Hex(c.DeviceID), KVN: c.KVN, Currency: Hex(c.AccountCurrency),
		Expiry: Hex(c.Expiry), Build: Hex(c.Build), Relay: RelayTimes(c.Relay),
		SignKey: channel.NewSecret(c.DS), AgreeKey: channel.NewSecret(c.DC), ACKey: channel.NewSecret(c.MKac),
		ReferenceKey: channel.NewSecret(c.Kref)}
	for _, r := range c.Records {
		p.Records = append(p.Records, Record{SFI: r.SFI, Number: r.Record, Content: Hex(r.Content), Encrypted: r.Encrypted})
	}
	return p
}

func vectorState(c emvtest.Card) CardState {
	return CardState{ADF: Hex(c.ADF), ATC: c.State.ATC, Index: c.State.Index, Spent: c.State.Spent,
		Chain: Hex(c.State.Chain), Blocked: c.Blocked}
}

// tap plays one field activation and returns the number of answers compared.
func (p *playback) tap(tap emvtest.Tap) int {
	p.before(tap.Before)
	present := tap.CardsPresent
	if present == nil {
		for i := range p.profiles {
			present = append(present, i)
		}
	}
	w := p.wallet(present)
	w.PowerOn()
	compared := 0
	for i, s := range tap.Steps {
		if s.Error == "lost_command" {
			continue
		}
		want := s.RAPDU
		if s.Error == "lost_answer" {
			want = s.PhoneRAPDU
		}
		got := w.Transmit(s.CAPDU)
		if !bytes.Equal(got, want) {
			p.t.Fatalf("step %d: %X\n got %X\nwant %X", i, []byte(s.CAPDU), got, []byte(want))
		}
		compared++
		p.follow(s.CAPDU, got, present)
	}
	w.PowerOff()
	return compared
}

func (p *playback) before(what string) {
	switch what {
	case "":
	case "unlock":
		for i := range p.verified {
			p.verified[i] = true
		}
	case "restore":
		p.states = slices.Clone(p.start)
	case "restore-allowance":
		for i := range p.states {
			atc := p.states[i].ATC
			p.states[i] = p.start[i]
			p.states[i].ATC = atc
		}
	default:
		p.t.Fatalf("before: unknown word %q", what)
	}
}

// noon is the phone's clock in all dialogues: they do not exercise it.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (p *playback) wallet(present []int) *Wallet {
	var cards []Profile
	var state State
	verified := false
	for _, i := range present {
		cards = append(cards, p.profiles[i])
		state.Cards = append(state.Cards, p.states[i])
		verified = verified || p.verified[i]
	}
	w, err := New(cards, state, Options{Store: savedTo{p, present}, Random: p, Now: func() time.Time { return noon },
		NotDefault: !p.phone.DefaultApp})
	if err != nil {
		p.t.Fatal(err)
	}
	if verified {
		w.Unlock(noon)
	}
	return w
}

// savedTo keeps a wallet's state as the bytes of its file would.
type savedTo struct {
	p       *playback
	present []int
}

func (s savedTo) Save(state State) error {
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var back State
	if err := decodeStrict(b, &back); err != nil {
		return err
	}
	for i, at := range s.present {
		s.p.states[at] = back.Cards[i]
	}
	return nil
}

// follow notes which card was selected: the vectors list draws per card.
func (p *playback) follow(command, answer []byte, present []int) {
	if command[1] != 0xA4 || !bytes.HasSuffix(answer, []byte{0x90, 0x00}) {
		return
	}
	fci, err := tlv.ParseOne(answer[:len(answer)-2])
	if err != nil {
		p.t.Fatal(err)
	}
	for _, i := range present {
		if bytes.Equal(fci.Kids[0].Value, p.profiles[i].ADF) {
			p.selected = i
		}
	}
}

// Read gives the draws of the selected card: 32 bytes are an r, 4 an entropy.
func (p *playback) Read(b []byte) (int, error) {
	queue := p.r
	if len(b) == 4 {
		queue = p.entropy
	}
	next := queue[p.selected]
	if len(next) == 0 || len(next[0]) != len(b) {
		return 0, errors.New("a draw that the vectors do not have")
	}
	queue[p.selected] = next[1:]
	return copy(b, next[0]), nil
}

func (p *playback) finish() {
	for i := range p.profiles {
		if len(p.r[i])+len(p.entropy[i]) != 0 {
			p.t.Errorf("card %d: %d r and %d entropy were not drawn", i, len(p.r[i]), len(p.entropy[i]))
		}
	}
}
