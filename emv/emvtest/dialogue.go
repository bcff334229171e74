package emvtest

// Dialogue is one scenario: a terminal, a phone, and the sales between them.
type Dialogue struct {
	Group    string `json:"-"`
	ID       string
	About    string
	Terminal Terminal
	Phone    Phone
	Sales    []Sale
	Backend  DialogueBackend
}

// Terminal is the terminal's configuration and surroundings.
type Terminal struct {
	AIDs         []AID
	CAKeys       []CAKey `json:"ca_keys"`
	CRL          []Revoked
	Exceptions   []Hex
	TerminalID   string `json:"terminal_id"`
	MerchantID   string `json:"merchant_id"`
	Connected    bool
	OfflineOnly  bool `json:"offline_only"`
	Unattended   bool
	ClockTrusted bool `json:"clock_trusted"`
	CRLAgeDays   int  `json:"crl_age_days"`
	Exposure     Exposure
	Relay        RelayConstants
}

// AID is the configuration of one application.
type AID struct {
	AID           Hex
	TACDenial     Hex `json:"tac_denial"`
	TACOnline     Hex `json:"tac_online"`
	TACDefault    Hex `json:"tac_default"`
	Enabled       bool
	Currency      Hex
	Country       Hex
	TxLimit       *int64 `json:"tx_limit"`
	FloorLimit    *int64 `json:"floor_limit"`
	CVMLimit      *int64 `json:"cvm_limit"`
	RelayLimit    *int64 `json:"relay_limit"`
	ZeroAllowed   bool   `json:"zero_allowed"`
	Mode          string
	CRLMaxAgeDays int `json:"crl_max_age_days"`
}

// CAKey is a public key of the scheme.
type CAKey struct {
	RID   Hex
	Index byte
	Key   Hex
}

// Revoked is one entry of the revocation list; DeviceSerial nil revokes the
// issuer certificate.
type Revoked struct {
	RID          Hex
	Index        byte
	IssuerSerial Hex `json:"issuer_serial"`
	DeviceSerial Hex `json:"device_serial"`
}

// Exposure is what the terminal has approved and not yet delivered.
type Exposure struct {
	Count    int
	Sum      int64
	MaxCount int   `json:"max_count"`
	MaxSum   int64 `json:"max_sum"`
}

// RelayConstants are the reader's constants of scheme 5.7, in 100 µs.
type RelayConstants struct {
	Cx, Rx   int
	MinGrace int
	MaxGrace int
	Acc      int
	Mismatch int
}

// Phone is the wallet as it stands at the start of the dialogue.
type Phone struct {
	DefaultApp   bool     `json:"default_app"`
	WalletQuirks []string `json:"wallet_quirks"`
	Cards        []Card
	Honest       bool
}

// Card is one application of the phone.
type Card struct {
	ADF             Hex
	SelName         Hex `json:"sel_name"`
	Priority        int
	Label           Hex
	DS, DC          Hex
	DeviceID        Hex `json:"device_id"`
	MKac            Hex `json:"mk_ac"`
	Kref            Hex
	KVN             byte
	AIP, AFL        Hex
	PDOL, CDOL1     Hex
	CardQualifier   Hex `json:"card_qualifier"`
	AccountCurrency Hex `json:"account_currency"`
	Expiry          Hex
	Grant           Hex
	Records         []Record
	State           CardState
	Verified        bool
	Blocked         bool
	Relay           CardRelay
	Build           Hex
	Quirks          []string
	Draws           CardDraws
}

// Record is one record of a card.
type Record struct {
	SFI, Record byte
	Content     Hex
	Encrypted   bool
}

// CardState is what a card has spent.
type CardState struct {
	ATC   uint16
	Index uint16
	Spent int64
	Chain Hex
}

// CardRelay is the card's answer to the relay check, in 100 µs.
type CardRelay struct{ Min, Max, Est uint16 }

// CardDraws are the card's random values in order of use.
type CardDraws struct{ R, Entropy []Hex }

// Sale is one sale and its field activations.
type Sale struct {
	Amount            int64
	Type              Hex
	Currency          Hex
	Date, Time        string
	OriginalReference Hex  `json:"original_reference"`
	ForceOnline       bool `json:"force_online"`
	Draws             TerminalDraws
	Taps              []Tap
}

// TerminalDraws are the terminal's random values in order of use.
type TerminalDraws struct{ TxID, UN, DK, TRRE []Hex }

// Tap is one field activation.
type Tap struct {
	Before       string
	CardsPresent []int `json:"cards_present"`
	Steps        []Step
	Outcome      Outcome
}

// Step is one exchange. RAPDU is nil when no answer arrived.
type Step struct {
	CAPDU      Hex
	RAPDU      Hex
	PhoneRAPDU Hex `json:"phone_rapdu"`
	US         int64
	Error      string
}

// Outcome is what the terminal must end the activation with.
type Outcome struct {
	Outcome    string
	Start      *string
	Msg        *string
	Status     *string
	Hold       int
	RestartMsg *string `json:"restart_msg"`
	FieldOff   *int    `json:"field_off"`
	Reason     Hex
	TVR        Hex
	TSI        Hex
	CVMResults Hex `json:"cvm_results"`
	Asked      Hex
	CID        Hex
	Record     Hex
	Deferred   bool
	Abandoned  []Hex
}

// DialogueBackend is what the backend knows and says of the dialogue's records.
type DialogueBackend struct {
	IMK      map[string]Hex
	Devices  []Device
	Verdicts []DialogueVerdict
}

// Device is a device as it is registered at the backend.
type Device struct {
	DeviceID Hex `json:"device_id"`
	Kind     byte
	Status   string
}

// DialogueVerdict is the verdict on the record with that hash.
type DialogueVerdict struct {
	RecordSHA256 Hex `json:"record_sha256"`
	Verdict      Verdict
}

// Verdict is the backend's finding.
type Verdict struct {
	OK           bool
	Reason       Hex
	Step         int
	Duplicate    bool
	CID          Hex
	Kind         int
	Amount       int64
	Epoch        uint32
	Index        uint16
	Spent        int64
	ChainChecked bool `json:"chain_checked"`
}

// Backend is backend.json: defaults and cases.
type Backend struct {
	Note    string
	CAKeys  []CAKey `json:"ca_keys"`
	IMK     map[string]Hex
	Devices []Device
	Cases   []BackendCase
}

// BackendCase is one record; cases with the same State share one backend, a
// nil State is a fresh one. Non-nil CAKeys, IMK or Devices replace the defaults.
type BackendCase struct {
	About   string
	Record  Hex
	State   *string
	Verdict Verdict
	CAKeys  []CAKey `json:"ca_keys"`
	IMK     map[string]Hex
	Devices []Device
}
