package backend

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// readUpload takes an upload apart; its signature is yet to be verified.
func readUpload(raw []byte) (u phone.Upload, signature []byte, err error) {
	parts := bytes.Split(raw, []byte{'.'})
	if len(raw) > MaxUpload || len(parts) != 3 {
		return u, nil, fmt.Errorf("%w: not a signed upload", ErrUpload)
	}
	var decoded [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(string(p))
		if err != nil || bytes.ContainsAny(p, "\r\n") {
			return u, nil, fmt.Errorf("%w: not base64url", ErrUpload)
		}
		decoded[i] = b
	}
	if string(decoded[0]) != phone.AppHeader {
		return u, nil, fmt.Errorf("%w: another header", ErrUpload)
	}
	if err := json.Unmarshal(decoded[1], &u); err != nil || len(u.Device) != 8 {
		return u, nil, fmt.Errorf("%w: not an upload", ErrUpload)
	}
	return u, decoded[2], nil
}

// signedPart is what the signature of an upload is over.
func signedPart(raw []byte) []byte { return raw[:bytes.LastIndexByte(raw, '.')] }

// denies says whether a log, which is whole, has no room for a tap of its epoch.
func denies(u phone.Upload, index uint16, atc uint16, chain [16]byte) bool {
	if int(index) > len(u.Taps) {
		return atc <= u.ATC
	}
	return string(u.Taps[index-1].Chain) != string(chain[:])
}

// readLog checks that a log is the whole of an epoch's taps: the chain from the
// grant on, every index, within the total.
func readLog(device [8]byte, grant ledger.Grant, u phone.Upload) ([]ledger.Report, error) {
	g, err := cert.ParseGrant(grant.Body[:])
	if err != nil {
		return nil, fmt.Errorf("read grant: %w", err)
	}
	if len(u.Taps) > int(g.MaxTaps) {
		return nil, errors.New("more taps than the grant allows")
	}
	var log []ledger.Report
	chain, atc, sum := channel.FirstChain(grant.Body[:]), g.ATCBase, int64(0)
	for i, t := range u.Taps {
		if t.Epoch != u.Epoch || int(t.Index) != i+1 || len(t.Transaction) != 16 || len(t.Terminal) != 8 || len(t.Chain) != 16 {
			return nil, fmt.Errorf("tap %d is not the next of its epoch", i+1)
		}
		if t.Amount < 0 || t.Amount > grant.TotalMinor-sum || t.ATC <= atc || t.ATC > u.ATC {
			return nil, fmt.Errorf("tap %d: amount or counter out of range", i+1)
		}
		atc, sum = t.ATC, sum+t.Amount
		chain = chain.Next(channel.Link{Transaction: [16]byte(t.Transaction), Amount: [6]byte(tlv.BCD(uint64(t.Amount), 6)),
			Currency: g.Currency, ATC: t.ATC, TerminalID: [8]byte(t.Terminal)})
		if chain != channel.Chain(t.Chain) {
			return nil, fmt.Errorf("tap %d does not follow from the grant", i+1)
		}
		log = append(log, ledger.Report{Device: device, Epoch: t.Epoch, Index: t.Index, Payment: [16]byte(t.Transaction),
			AmountMinor: t.Amount, ATC: t.ATC, Terminal: [8]byte(t.Terminal), Chain: [16]byte(t.Chain)})
	}
	return log, nil
}
