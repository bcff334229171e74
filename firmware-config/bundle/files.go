package bundle

import "github.com/pelletier/go-toml/v2"

// The files' forms. Units stand last in the names, as everywhere at a file's edge.

type terminalFile struct {
	Schema      int64              `toml:"schema"`
	Name        string             `toml:"name"`
	Languages   []string           `toml:"languages"`
	OfflineOnly bool               `toml:"offline_only"`
	Unattended  bool               `toml:"unattended"`
	Currencies  []currencyFile     `toml:"currencies"`
	Limits      limitsFile         `toml:"limits"`
	Relay       relayFile          `toml:"relay"`
	TAC         map[string]tacFile `toml:"tac"`
	AIDs        []aidFile          `toml:"aids"`
}

type currencyFile struct {
	Numeric  string `toml:"numeric"`
	Alpha    string `toml:"alpha"`
	Exponent int64  `toml:"exponent"`
}

type limitsFile struct {
	Payments int64 `toml:"max_payments"`
	Sum      int64 `toml:"max_sum_minor"`
	Device   int64 `toml:"max_device_minor"`
	AgeHours int64 `toml:"max_age_hours"`
}

type relayFile struct {
	Command  int64 `toml:"command_100us"`
	Answer   int64 `toml:"answer_100us"`
	MinGrace int64 `toml:"min_grace_100us"`
	MaxGrace int64 `toml:"max_grace_100us"`
	Accuracy int64 `toml:"accuracy_100us"`
	Mismatch int64 `toml:"mismatch_percent"`
}

type tacFile struct {
	Denial  string `toml:"denial"`
	Online  string `toml:"online"`
	Default string `toml:"default"`
}

type aidFile struct {
	AID         string   `toml:"aid"`
	Enabled     bool     `toml:"enabled"`
	Currency    string   `toml:"currency"`
	Country     string   `toml:"country"`
	TxLimit     *int64   `toml:"tx_limit_minor" need:"no"`
	FloorLimit  *int64   `toml:"floor_limit_minor" need:"no"`
	CVMLimit    *int64   `toml:"cvm_limit_minor" need:"no"`
	RelayLimit  *int64   `toml:"relay_limit_minor" need:"no"`
	Unlimited   []string `toml:"unlimited"`
	ZeroAllowed bool     `toml:"zero_allowed"`
	Mode        string   `toml:"mode"`
	TAC         string   `toml:"tac"`
	CRLMaxAge   int64    `toml:"crl_max_age_days"`
}

type keyFile struct {
	Schema      int64          `toml:"schema"`
	Environment string         `toml:"environment"`
	RID         string         `toml:"rid"`
	Index       int64          `toml:"index"`
	PublicKey   string         `toml:"public_key"`
	SHA256      string         `toml:"sha256"`
	NotAfter    toml.LocalDate `toml:"not_after"`
	Source      string         `toml:"source"`
}

type profileFile struct {
	Schema       int64    `toml:"schema"`
	Name         string   `toml:"name"`
	Transport    string   `toml:"transport"`
	Environments []string `toml:"environments"`
	Match        []string `toml:"match"`
	MaxCommand   int64    `toml:"max_command_bytes"`
	MaxAnswer    int64    `toml:"max_answer_bytes"`
	RelayOffset  int64    `toml:"relay_offset_us"`
	Quirks       []Quirk  `toml:"quirks"`
	Source       string   `toml:"source"`

	Reader readerFile `toml:"reader" need:"no"` // what only a real reader has
}

// readerFile is what can be told to, and asked of, a make of reader.
type readerFile struct {
	Title       string              `toml:"title"`
	USB         []string            `toml:"usb"`
	Contactless bool                `toml:"contactless"`
	Polls       bool                `toml:"polls"`
	Escape      string              `toml:"escape"`
	Setup       []string            `toml:"setup"`
	Firmware    versionFile         `toml:"firmware" need:"no"`
	Cues        map[string][]string `toml:"cues" need:"no"`
}

type versionFile struct {
	Ask  string    `toml:"ask"`
	Skip int64     `toml:"skip"`
	Drop int64     `toml:"drop"`
	Form string    `toml:"form"`
	Bad  []badFile `toml:"bad"`
}

type badFile struct {
	Prefix string `toml:"prefix"`
	Why    string `toml:"why"`
	Source string `toml:"source"`
}
