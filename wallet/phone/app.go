package phone

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"tapkeeper/emv/channel"
)

// AppHeader is the protected header of what the app sends: a compact JWS (RFC
// 7515) with the card's signing key ds. Evidence (scheme 6.7) begins with A5 and
// a JWS with "ey", so that neither passes for the other.
const AppHeader = `{"alg":"ES256","typ":"tapkeeper.app.v1"}`

// Upload is what the app tells the issuer of one card (scheme 7.4): the whole log
// of the epoch that its grant is of.
type Upload struct {
	Device Hex    `json:"device"`
	ATC    uint16 `json:"atc"`
	Epoch  uint32 `json:"epoch"` // of the grant; 0 for a card without
	Renew  bool   `json:"renew"` // whether it wants the next grant
	Taps   []Tap  `json:"taps"`
}

// Reply is what the issuer answers. It is signed where it must be: the grant.
type Reply struct {
	Upload      Hex    `json:"upload_sha256"` // of the exact bytes that are answered
	Status      string `json:"status"`        // "active", or "blocked": the device or its account may not pay
	ReportedATC uint16 `json:"reported_atc"`
	Undelivered int64  `json:"undelivered_minor"` // spent, and not yet brought by a terminal
	Released    int64  `json:"released"`          // taps that went back to the payer with this upload
	Grant       Hex    `json:"grant,omitempty"`
}

// maxReply bounds what is read of a reply; one has less than a kilobyte.
const maxReply = 16 << 10

// Upload makes the app's signed message about a card.
func (w *Wallet) Upload(adf []byte, renew bool) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.find(adf)
	if i < 0 {
		return nil, ErrNoCard
	}
	c, s := w.cards[i], w.state.Cards[i]
	u := Upload{Device: c.DeviceID, ATC: s.ATC, Renew: renew, Taps: []Tap{}}
	if c.grant != nil {
		u.Epoch = c.grant.Epoch
	}
	for _, t := range s.Taps {
		if t.Epoch == u.Epoch {
			t.Reported = false // ours alone
			u.Taps = append(u.Taps, t)
		}
	}
	return SignUpload(c.Profile, u)
}

// SignUpload signs an upload as the card. What it says is the caller's: a phone
// that lies signs too.
func SignUpload(p Profile, u Upload) ([]byte, error) {
	payload, err := json.Marshal(u)
	if err != nil {
		return nil, fmt.Errorf("write the upload: %w", err)
	}
	key, err := channel.NewSignKey(p.SignKey.Bytes())
	if err != nil {
		return nil, fmt.Errorf("sign the upload: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(AppHeader)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := key.Sign([]byte(input))
	if err != nil {
		return nil, fmt.Errorf("sign the upload: %w", err)
	}
	return []byte(input + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// Apply takes the reply to an upload: the log counts as reported, and a grant
// replaces the card's. Taps that were made since the upload keep the old grant in
// place (ErrUnreported): upload again.
func (w *Wallet) Apply(adf, upload, reply []byte) error {
	var r Reply
	if len(reply) > maxReply {
		return errors.New("phone: the reply is too long")
	}
	if err := json.Unmarshal(reply, &r); err != nil { // later versions may tell more
		return fmt.Errorf("read the reply: %w", err)
	}
	if sum := sha256.Sum256(upload); string(r.Upload) != string(sum[:]) {
		return errors.New("phone: the reply is to another upload")
	}
	if err := w.Reported(adf, r.ReportedATC); err != nil {
		return err
	}
	if len(r.Grant) == 0 {
		return nil
	}
	return w.Renew(adf, r.Grant)
}
