package backend

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/tlv"
	"tapkeeper/wallet/ledger"
	"tapkeeper/wallet/phone"
)

// Application kinds (scheme 1.4).
const (
	WalletBalance byte = 1
	BankCard      byte = 2
)

// Objects of the reference phone (scheme 4.1, 4.3).
const (
	referencePDOL  = "9F2B089E409F02065F2A029F1A029C019F3704DF8B2602"
	referenceCDOL1 = "9F02069F03065F2A029F1A029A039F21039C019F370495059F1C08DF8B2108DF8B2210DF8B230EDF8B2410DF8B26029F0610"
	buildOfPhone   = "0000000001"
	suffixMax      = 9 // scheme 1.4
)

// Card says what card to make.
type Card struct {
	Account   string     // an open payer account
	Kind      byte       // WalletBalance or BankCard
	Suffix    []byte     // tells two cards of a kind on one phone apart
	Label     string     // shown while choosing
	Digits    [2]byte    // n4, printed on the receipt
	Allowance *Allowance // nil: an online-only card
}

// IssueCard makes a card for an account and registers its device in the ledger.
// The profile holds the card's private keys.
func (i *Issuer) IssueCard(ctx context.Context, l *ledger.Ledger, c Card, now time.Time, random io.Reader) (phone.Profile, error) {
	if c.Kind != WalletBalance && c.Kind != BankCard || len(c.Suffix) > suffixMax || !tlv.IsBCD(c.Digits[:]) {
		return phone.Profile{}, errors.New("issue card: kind, suffix or digits are not of the scheme")
	}
	var account ledger.Account
	err := l.View(ctx, func(tx *ledger.Tx) (err error) { account, err = tx.Account(c.Account); return err })
	if err != nil {
		return phone.Profile{}, fmt.Errorf("issue card: account %q: %w", c.Account, err)
	}
	currency, known := numericOf(account.Currency)
	if !known || account.Kind != ledger.PayerAccount {
		return phone.Profile{}, fmt.Errorf("issue card: account %q is not a payer's in a currency of this backend", c.Account)
	}
	p, device, err := i.personalise(c, currency, now, random)
	if err != nil {
		return phone.Profile{}, fmt.Errorf("issue card: %w", err)
	}
	if err := p.Validate(); err != nil {
		return phone.Profile{}, fmt.Errorf("issue card: %w", err)
	}
	err = l.Update(ctx, func(tx *ledger.Tx) error {
		if err := tx.PutDevice(device); err != nil || p.Grant == nil {
			return err
		}
		g, err := granted(p.Grant)
		if err != nil {
			return err
		}
		return tx.PutGrant(g)
	})
	if err != nil {
		return phone.Profile{}, fmt.Errorf("issue card: register the device: %w", err)
	}
	return p, nil
}

// personalise makes the card's data and keys.
func (i *Issuer) personalise(c Card, currency [2]byte, now time.Time, random io.Reader) (phone.Profile, ledger.Device, error) {
	var none ledger.Device
	var id [8]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return phone.Profile{}, none, fmt.Errorf("draw the device id: %w", err)
	}
	sign, err := drawSignKey(random)
	if err != nil {
		return phone.Profile{}, none, fmt.Errorf("make the signing key: %w", err)
	}
	agree, err := channel.DrawAgreeKey(random)
	if err != nil {
		return phone.Profile{}, none, fmt.Errorf("make the channel key: %w", err)
	}
	scalar, err := sign.Scalar()
	if err != nil {
		return phone.Profile{}, none, err
	}
	p := phone.Profile{
		ADF: append(append(rid[:len(rid):len(rid)], 0x01, c.Kind), c.Suffix...), Kind: c.Kind, Label: c.Label, Priority: 1,
		Qualifier: phone.Hex{0x01, 0xC1, 0xE1, 0xE0, 0, 0, 0}, AIP: phone.Hex{0xC1, 0x01}, AFL: phone.Hex{0x08, 1, 1, 0, 0x10, 1, 2, 1},
		PDOL: unhexed(referencePDOL), CDOL1: unhexed(referenceCDOL1), DeviceID: id[:], KVN: keyVersion, Currency: currency[:],
		Build: unhexed(buildOfPhone), Relay: phone.RelayTimes{Min: 5, Max: 10, Est: 24},
		SignKey: scalar, AgreeKey: agree.Scalar(), ACKey: channel.MKac(i.imk, c.Kind, keyVersion, id).Secret,
		ReferenceKey: channel.Kref(i.krm, c.Kind, c.Account).Secret,
	}
	last := date(now.AddDate(deviceYears, 0, -2))
	p.Expiry = last[1:]
	device := ledger.Device{ID: id, Account: c.Account, Kind: c.Kind, KVN: keyVersion, Status: ledger.DeviceActive}
	properties := byte(0) // a software phone has no keys in hardware
	if c.Allowance != nil {
		device.Epoch = 1
		properties |= cert.OfflineAllowed
		p.Qualifier[3], p.AIP[1], p.AFL[6] = 0xF0, 0x09, 3
		if p.Grant, err = i.grant(id, device.Epoch, 0, currency, *c.Allowance, now); err != nil {
			return phone.Profile{}, none, err
		}
	}
	public, err := sign.Public().Compressed()
	if err != nil {
		return phone.Profile{}, none, err
	}
	dc := cert.Device{IssuerSerial: issuerSerial, DeviceID: id, NotBefore: date(backdated(now)), NotAfter: last,
		Serial: [6]byte(id[:6]), Properties: properties, SignKey: public, AgreeKey: channel.Compress(agree.Public())}
	device.SignKey, device.AgreeKey = fmt.Sprintf("%X", dc.SignKey), fmt.Sprintf("%X", dc.AgreeKey)
	err = i.records(&p, dc, c.Digits, date(backdated(now)))
	return p, device, err
}

// records lays out the card's files as the reference phone does (scheme 4.3).
func (i *Issuer) records(p *phone.Profile, dc cert.Device, digits [2]byte, effective cert.Date) error {
	object := func(dst []byte, tag tlv.Tag, value []byte) []byte { return tlv.Append(dst, tag, value) }
	issuer := object(object(nil, 0x8F, []byte{caIndex}), tagIssuerCert, i.certificate)
	var signed []byte
	for _, o := range []struct {
		tag   tlv.Tag
		value []byte
	}{{0x5F24, p.Expiry}, {0x5F25, effective[1:]}, {0x5F28, country[:]}, {0x9F42, p.Currency}, {0x9F08, []byte{0, 1}},
		{0x9F07, []byte{0xD0, 0}}, {0x9F25, digits[:]}, {tagDeviceID, p.DeviceID}, {tagCDOL1, p.CDOL1}} {
		signed = object(signed, o.tag, o.value)
	}
	dc.SDH = cert.StaticDataHash(signed, object(nil, tagAIP, p.AIP), object(nil, tagADF, p.ADF),
		object(nil, tagPDOL, p.PDOL), object(nil, tagQualifier, p.Qualifier))
	certificate, err := dc.Sign(i.operator)
	if err != nil {
		return fmt.Errorf("sign the device certificate: %w", err)
	}
	p.Records = []phone.Record{
		{SFI: 1, Number: 1, Content: issuer},
		{SFI: 2, Number: 1, Content: signed, Encrypted: true},
		{SFI: 2, Number: 2, Content: object(nil, tagDeviceCert, certificate), Encrypted: true},
	}
	if p.Grant != nil {
		p.Records = append(p.Records, phone.Record{SFI: 2, Number: 3, Content: object(nil, tagGrant, p.Grant), Encrypted: true})
	}
	return nil
}

func numericOf(letters string) (numeric [2]byte, known bool) {
	for n, l := range currencies {
		if l == letters {
			return n, true
		}
	}
	return numeric, false
}

// unhexed reads a constant of this file.
func unhexed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("backend: a constant is not hexadecimal")
	}
	return b
}
