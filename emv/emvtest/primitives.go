package emvtest

import (
	"reflect"
	"strings"
)

// List says how many cases a list of primitives.json holds.
type List struct {
	Field string // of Primitives
	Name  string // in the file
	Cases int
}

// Lists names every list, so that a test can tell which ones it has run.
func (p *Primitives) Lists() []List {
	v := reflect.ValueOf(*p)
	var all []List
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("json")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		all = append(all, List{Field: f.Name, Name: name, Cases: v.Field(i).Len()})
	}
	return all
}

// Primitives is primitives.json, one list per primitive.
type Primitives struct {
	CMAC     []struct{ Key, Msg, Out Hex }
	CMACPlus []struct{ Key, Msg, Out Hex } `json:"cmac_plus"`
	CTR      []struct{ Key, Counter, Data, Out Hex }
	Points   []struct {
		X     Hex
		EvenY Hex `json:"even_y"`
	}
	ECDH []struct {
		D      Hex
		PeerXY Hex `json:"peer_xy"`
		Out    Hex
	}
	BDH []struct {
		DC, QD, DK, QK, R, Z Hex
		PcX                  Hex `json:"pc_x"`
		P1X                  Hex `json:"p1_x"`
		SKc, SKi             Hex
		EncryptedR           Hex `json:"encrypted_r"`
	}
	SessionKeys []struct{ Z, KDK, SKc, SKi Hex } `json:"session_keys"`
	MACPair     []struct {
		SKi       Hex
		PDOLData  Hex `json:"pdol_data"`
		CDOL1Data Hex `json:"cdol1_data"`
		R0z, SDH  Hex
		IADMAC    Hex `json:"iad_mac"`
		AC        Hex
		EDAMAC    Hex `json:"eda_mac"`
	} `json:"mac_pair"`
	AC []struct {
		IMK       Hex
		Kind, KVN byte
		DeviceID  Hex `json:"device_id"`
		MKac      Hex `json:"mk_ac"`
		ATC       uint16
		SKac      Hex `json:"sk_ac"`
		CDOL1Data Hex `json:"cdol1_data"`
		AIP       Hex
		R0, AC    Hex
	}
	Refs []struct {
		KRM          Hex
		Kind         byte
		Account      string
		Kref         Hex
		MerchantID   string `json:"merchant_id"`
		MerchantHash Hex    `json:"merchant_hash"`
		Reference    Hex
	}
	Chain []struct {
		Grant, C0 Hex
		Taps      []struct {
			TxID, Amount, Currency, ATC Hex
			TerminalID                  string `json:"terminal_id"`
			Chain                       Hex
		}
	}
	ECDSA       []struct{ D, Q, Msg, Sig Hex }
	ECDSAVerify []struct {
		About       string
		Q, Msg, Sig Hex
		OK          bool
	} `json:"ecdsa_verify"`
	IssuerCert []struct {
		DCA       Hex `json:"d_ca"`
		QCA       Hex `json:"Q_ca"`
		QI        Hex `json:"Q_i"`
		RID       Hex
		Index     byte
		Operator  Hex
		NotBefore Hex `json:"not_before"`
		NotAfter  Hex `json:"not_after"`
		Serial    uint32
		Usage     Hex
		Cert      Hex
	} `json:"issuer_cert"`
	DeviceCert []struct {
		DI           Hex    `json:"d_i"`
		IssuerSerial uint32 `json:"issuer_serial"`
		DeviceID     Hex    `json:"device_id"`
		NotBefore    Hex    `json:"not_before"`
		NotAfter     Hex    `json:"not_after"`
		Serial       Hex
		Properties   Hex
		SDH, Qs, Qd  Hex
		Cert         Hex
	} `json:"device_cert"`
	Grant []struct {
		DI           Hex    `json:"d_i"`
		IssuerSerial uint32 `json:"issuer_serial"`
		DeviceID     Hex    `json:"device_id"`
		Epoch        uint32
		Currency     Hex
		Total        uint64
		PerTap       uint64 `json:"per_tap"`
		MaxTaps      uint16 `json:"max_taps"`
		ATCBase      uint16 `json:"atc_base"`
		ValidFrom    Hex    `json:"valid_from"`
		ValidTo      Hex    `json:"valid_to"`
		Grant        Hex
	}
	StaticHash []struct {
		S       Hex
		TLV82   Hex `json:"tlv_82"`
		TLV84   Hex `json:"tlv_84"`
		TLV9F38 Hex `json:"tlv_9F38"`
		TLV9F2C Hex `json:"tlv_9F2C"`
		SDH     Hex
	} `json:"static_hash"`
	Evidence []struct {
		DS, SDH   Hex
		PDOLData  Hex `json:"pdol_data"`
		CDOL1Data Hex `json:"cdol1_data"`
		R1        Hex
		Value9F4B Hex `json:"value_9F4B"`
	}
	TLV []struct {
		Hex   Hex
		OK    bool
		Nodes []Node
	}
	DOL []struct {
		Which  string
		DOL    Hex
		Values map[string]Hex
		Out    Hex
	}
	Relay []struct {
		ElapsedUS     int64 `json:"elapsed_us"`
		Min, Max, Est uint16
		T             int
		TooFast       bool `json:"too_fast"`
		Over          bool
		Threshold     bool
	}
}

// Node is an object of a TLV case; Kids is nil when it is not looked into.
type Node struct {
	Tag, Value Hex
	Kids       []Node
}
