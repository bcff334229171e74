package backend

import (
	"bytes"
	"crypto/elliptic"
	"math/big"
	"testing"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/backend/backendtest"
	"tapkeeper/wallet/ledger"
)

// A signature verifies with s and with n-s, so that a merchant who has a record can
// write it twice. That is one tap: it blocks nobody, and proves nothing.
func TestOneTapWrittenTwiceFramesNobody(t *testing.T) { eachShop(t, framesNobody) }

func framesNobody(s *shop) {
	record := s.tap(1, 500, backendtest.AskTC, 1)
	twin := s.twin(record)
	for n, r := range [][]byte{record, twin} {
		if got := s.deliverTap(1, 500, r); got.Result != wire.Accepted || s.balance("alice") != 9500 {
			s.Errorf("delivery %d: %+v, alice has %d", n, got, s.balance("alice"))
		}
	}
	if s.device().Status != ledger.DeviceActive || len(s.proofs()) != 0 || len(s.warned) != 0 {
		s.Errorf("the device is %s, %d proofs", s.device().Status, len(s.proofs()))
	}
	if p, err := Prove([]CAKey{s.keys.Issuer.CAKey()}, record, twin); err == nil {
		s.Errorf("proves %s", p.Rule)
	}
}

// twin is a record whose evidence is signed with the other s.
func (s *shop) twin(record []byte) []byte {
	s.Helper()
	signature := s.service.verifier.Examine(record, nil).evidence.answer[tagEvidence]
	other := bytes.Clone(record)
	at := bytes.Index(other, signature) + 1 + 32 // behind the format and r
	low := new(big.Int).SetBytes(other[at : at+32])
	low.Sub(elliptic.P256().Params().N, low).FillBytes(other[at : at+32])
	return other
}
