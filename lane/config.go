package lane

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"tapkeeper/queue/vault"
)

// Config is everything a lane is opened with. The zero value of a setting
// means its default, where the comment names one.
type Config struct {
	Environment string `toml:"environment"` // "test" or "live"; live refuses test keys and the virtual reader
	DataDir     string `toml:"data_dir"`    // the journal's home; owned by the daemon, 0700
	Merchant    string `toml:"merchant"`    // in the scheme and in the topics of the wallet link: [a-z0-9-]
	Terminal    string `toml:"terminal"`    // likewise
	TerminalID  string `toml:"terminal_id"` // 8 characters (scheme 1.4)
	TimeZone    string `toml:"time_zone"`   // IANA name; default Asia/Shanghai
	DayStart    string `toml:"day_start"`   // local time at which a business day begins; default 04:00

	Reader   ReaderConfig   `toml:"reader"`
	Wallet   WalletConfig   `toml:"wallet"`
	Limits   LimitsConfig   `toml:"limits"`
	Bounds   BoundsConfig   `toml:"bounds"`
	Keys     KeysConfig     `toml:"keys"`
	Journal  JournalConfig  `toml:"journal"`
	Firmware FirmwareConfig `toml:"firmware_config"`
}

// ReaderConfig says where phones are tapped.
type ReaderConfig struct {
	Kind    string `toml:"kind"`    // "pcsc", "pn532", "zvt" for a card terminal, or "virtual"
	Name    string `toml:"name"`    // pcsc: the reader's name; default the first contactless one
	Device  string `toml:"device"`  // pn532, zvt: the serial port, best by its name below /dev/serial/by-id; zvt: or tcp:HOST:PORT
	Fast    bool   `toml:"fast"`    // pn532: talk at 921600 baud instead of 115200
	Polling string `toml:"polling"` // pn532: a polling frame in hex, for phones that wait for one; default none
	Socket  string `toml:"socket"`  // virtual: the socket that phones connect to

	Baud         int    `toml:"baud"`          // zvt: of a serial line; default 9600
	OneStop      bool   `toml:"one_stop_bit"`  // zvt: 8N1 instead of 8N2
	Currency     string `toml:"currency"`      // zvt: the one that the card terminal is registered for; default EUR
	PasswordFile string `toml:"password_file"` // zvt: the cash register's password, six digits; default 000000
}

// WalletConfig says how the wallet is reached and how long it is waited for.
type WalletConfig struct {
	Broker       string `toml:"broker"`        // mqtt://HOST:PORT or mqtts://HOST:PORT; several nodes of a cluster with commas
	ClientID     string `toml:"client_id"`     // default MERCHANT/TERMINAL, as the certificate's name; a secret one where the broker binds none
	Username     string `toml:"username"`      // default none
	PasswordFile string `toml:"password_file"` // default none
	CAFile       string `toml:"ca_file"`       // mqtts: who signs the broker's certificate; default the system's
	CertFile     string `toml:"cert_file"`     // mqtts: this terminal's certificate
	KeyFile      string `toml:"key_file"`      // mqtts: its key
	AnswerMS     int    `toml:"answer_ms"`     // bound of an online answer; default 3000
}

// JournalConfig says how long the journal keeps things.
type JournalConfig struct {
	// KeepDays is how long a finished payment is kept: 400, a year and the month in
	// which its books are closed. Not under 60: the wallet takes records up to 30
	// days old and releases what was never claimed after 31 (terminal.md), and a
	// dispute about the last of them needs its month, too.
	KeepDays int `toml:"keep_days"`
}

const (
	defaultKeepDays = 400
	leastKeepDays   = 60
	mostKeepDays    = 36500 // a century: for ever
)

// KeysConfig names the files that hold keys (terminal.md, Keys).
type KeysConfig struct {
	JournalMaster    string `toml:"journal_master"`    // PATH or "file:PATH", "credential:NAME", "tpm:PATH" (package vault)
	TPMDevice        string `toml:"tpm_device"`        // default /dev/tpmrm0; "unix:PATH" of a simulator, never where environment is "live"
	TPMPCRs          []int  `toml:"tpm_pcrs"`          // what a new key of the TPM is sealed to, 0 to 23 of the SHA-256 bank; default none
	TPMCounter       uint32 `toml:"tpm_counter"`       // index of the TPM that counts the journal, 0x01800000 to 0x01BFFFFF; default 0x01805450
	TerminalSigning  string `toml:"terminal_signing"`  // Ed25519 private key, PKCS #8 PEM, 0600
	WalletSigning    string `toml:"wallet_signing"`    // Ed25519 public key, PKIX PEM
	WalletEncryption string `toml:"wallet_encryption"` // P-256 public key, PKIX PEM
}

// FirmwareConfig names the folders of signed data.
type FirmwareConfig struct {
	Dir        string `toml:"dir"`         // limits, TACs, CA keys; default the built-in set
	HotlistDir string `toml:"hotlist_dir"` // crl.toml and exceptions.toml
}

// FieldError says which setting is wrong.
type FieldError struct{ Field, Want, Found string }

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: want %s, found %q", e.Field, e.Want, e.Found)
}

var (
	linkName   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	schemeName = regexp.MustCompile(`^[A-Za-z0-9]{8}$`)
)

// Validate fills in the defaults and names the first setting that is wrong.
func (c *Config) Validate() error {
	if c.TimeZone == "" {
		c.TimeZone = "Asia/Shanghai"
	}
	if c.DayStart == "" {
		c.DayStart = "04:00"
	}
	if c.Wallet.AnswerMS == 0 {
		c.Wallet.AnswerMS = 3000
	}
	if c.Journal.KeepDays == 0 {
		c.Journal.KeepDays = defaultKeepDays
	}
	if c.Keys.TPMCounter == 0 {
		c.Keys.TPMCounter = vault.CounterIndex
	}
	for _, check := range []struct {
		ok          bool
		field, want string
		found       string
	}{
		{c.Environment == "test" || c.Environment == "live", "environment", `"test" or "live"`, c.Environment},
		{filepath.IsAbs(c.DataDir), "data_dir", "an absolute path", c.DataDir},
		{linkName.MatchString(c.Merchant), "merchant", "1 to 32 of a-z, 0-9 and -", c.Merchant},
		{linkName.MatchString(c.Terminal), "terminal", "1 to 32 of a-z, 0-9 and -", c.Terminal},
		{schemeName.MatchString(c.TerminalID), "terminal_id", "8 letters or digits", c.TerminalID},
		{c.Wallet.AnswerMS >= 500 && c.Wallet.AnswerMS <= 30000, "wallet.answer_ms", "500 to 30000", fmt.Sprint(c.Wallet.AnswerMS)},
		{(c.Wallet.CertFile == "") == (c.Wallet.KeyFile == ""), "wallet.key_file", "a key for cert_file, and the other way round", c.Wallet.KeyFile},
	} {
		if !check.ok {
			return &FieldError{check.field, check.want, check.found}
		}
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		return &FieldError{"time_zone", "an IANA time zone", c.TimeZone}
	}
	if _, err := time.Parse("15:04", c.DayStart); err != nil {
		return &FieldError{"day_start", "HH:MM", c.DayStart}
	}
	for node := range strings.SplitSeq(c.Wallet.Broker, ",") {
		if u, err := url.Parse(strings.TrimSpace(node)); err != nil || u.Host == "" || (u.Scheme != "mqtt" && u.Scheme != "mqtts") {
			return &FieldError{"wallet.broker", "mqtt://HOST:PORT or mqtts://HOST:PORT", c.Wallet.Broker}
		}
	}
	if err := c.Bounds.validate(); err != nil {
		return err
	}
	if err := c.validateJournal(); err != nil {
		return err
	}
	return c.validateReader()
}

func (c *Config) validateJournal() error {
	if d := c.Journal.KeepDays; d < leastKeepDays || d > mostKeepDays {
		return &FieldError{"journal.keep_days", fmt.Sprintf("%d to %d", leastKeepDays, mostKeepDays), fmt.Sprint(d)}
	}
	seen := map[int]bool{}
	for _, n := range c.Keys.TPMPCRs {
		if n < 0 || n > 23 || seen[n] {
			return &FieldError{"keys.tpm_pcrs", "numbers of PCRs, 0 to 23, each once", fmt.Sprint(n)}
		}
		seen[n] = true
	}
	if n := c.Keys.TPMCounter; n < vault.FirstIndex || n > vault.LastIndex {
		return &FieldError{"keys.tpm_counter", fmt.Sprintf("%#08x to %#08x", vault.FirstIndex, vault.LastIndex), fmt.Sprintf("%#08x", n)}
	}
	device, simulated := strings.CutPrefix(c.Keys.TPMDevice, "unix:")
	switch {
	case c.Keys.TPMDevice == "":
	case simulated && c.Environment == "live":
		return &FieldError{"keys.tpm_device", `a TPM of this machine where environment is "live"`, c.Keys.TPMDevice}
	case !filepath.IsAbs(device):
		return &FieldError{"keys.tpm_device", `an absolute path, or "unix:" and one`, c.Keys.TPMDevice}
	}
	return nil
}

func (c *Config) validateReader() error {
	switch c.Reader.Kind {
	case "pcsc":
		if c.Reader.Socket != "" {
			return &FieldError{"reader.socket", `nothing with kind "pcsc"`, c.Reader.Socket}
		}
	case "pn532", "zvt":
		return c.validateSerial()
	case "virtual":
		if c.Environment == "live" {
			return &FieldError{"reader.kind", `"pcsc", "pn532" or "zvt" where environment is "live"`, c.Reader.Kind}
		}
		if !filepath.IsAbs(c.Reader.Socket) {
			return &FieldError{"reader.socket", "an absolute path", c.Reader.Socket}
		}
	default:
		return &FieldError{"reader.kind", `"pcsc", "pn532", "zvt" or "virtual"`, c.Reader.Kind}
	}
	return nil
}
