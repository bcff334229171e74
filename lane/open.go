package lane

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tapkeeper/emv"
	firmwareconfig "tapkeeper/firmware-config"
	"tapkeeper/firmware-config/bundle"
	"tapkeeper/reader"
	"tapkeeper/reader/pcsc"
	"tapkeeper/reader/virtual"
	"tapkeeper/terminal"
	"tapkeeper/uplink"
	"tapkeeper/uplink/wire"
)

// PartError says which part of the lane cannot be had right now; the settings
// are fine.
type PartError struct {
	Part string
	Err  error
}

func (e *PartError) Error() string { return e.Part + ": " + e.Err.Error() }

func (e *PartError) Unwrap() error { return e.Err }

// Open joins a lane from its configuration. What is wrong with a setting, a key
// or the configuration data is found before anything is opened; what was opened
// is closed again when a later part fails.
func Open(cfg Config, version string, log zerolog.Logger) (*Lane, error) {
	return open(cfg, version, log, seams{
		parts:   func(p terminal.Parts) terminal.Parts { return p },
		receive: func(r receiver) receiver { return r },
	})
}

// seams let a test stand between the parts of a lane.
type seams struct {
	parts   func(terminal.Parts) terminal.Parts
	receive func(receiver) receiver
}

// receiver takes a verified message of the wallet.
type receiver = func(context.Context, *wire.Message) error

func open(cfg Config, version string, log zerolog.Logger, s seams) (l *Lane, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	source, master, err := loadMaster(cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // also where openStore has not taken it over
			_ = master.Close()
		}
	}()
	keys, err := loadKeys(cfg)
	if err != nil {
		return nil, err
	}
	data, err := loadData(cfg)
	if err != nil {
		return nil, err
	}
	l = &Lane{cfg: cfg, version: version, since: time.Now(), log: log}
	opened := l // the returns below make l nil
	defer func() {
		if err != nil {
			_ = opened.Close()
		}
	}()
	if err := l.openStore(source, master); err != nil {
		return nil, err
	}
	if err := l.openReader(data.bundle.Models()); err != nil {
		return nil, err
	}
	if l.hotlist, err = openHotlist(l.store, l.clock, data, log); err != nil {
		return nil, err
	}
	if err := l.openLink(keys.wire, l.handling.watch(s.receive(l.handle))); err != nil {
		return nil, err
	}
	terminalConfig, err := terminalConfig(cfg, data)
	if err != nil {
		return nil, err
	}
	l.terminal, err = terminal.New(terminalConfig, s.parts(terminal.Parts{
		Acceptor: l.acceptor,
		Journal:  journal{l.store, l.clock}, Field: field{l.reader, cfg.Reader.Name == ""}, Wallet: wallet{l.link, &l.handling}, Keys: keys.wire,
		Trust: changingTrust{l.hotlist}, Clock: l.clock, Chain: journal{l.store, l.clock}, Random: rand.Reader,
	}))
	return l, err
}

// keys are those that files hold until pairing exists (terminal.md, Keys).
type keys struct{ wire *wire.Terminal }

func loadKeys(cfg Config) (keys, error) {
	private, err := readSigner(cfg.Keys.TerminalSigning)
	if err != nil {
		return keys{}, err
	}
	signing, err := wire.NewSigningKey(private)
	if err != nil {
		return keys{}, err
	}
	walletSigning, err := readWalletSigning(cfg.Keys.WalletSigning)
	if err != nil {
		return keys{}, err
	}
	walletEncryption, err := readWalletEncryption(cfg.Keys.WalletEncryption)
	if err != nil {
		return keys{}, err
	}
	w, err := wire.NewTerminal(wire.TerminalKeys{
		Address: wire.Address{Merchant: cfg.Merchant, Terminal: cfg.Terminal},
		Signing: signing, WalletSigning: []ed25519.PublicKey{walletSigning}, WalletEncryption: walletEncryption,
	})
	return keys{w}, err
}

// data is what a fleet ships and what changes from day to day.
type data struct {
	bundle  *bundle.Bundle
	hotlist *bundle.Hotlist
}

func loadData(cfg Config) (data, error) {
	files := firmwareconfig.Files()
	if cfg.Firmware.Dir != "" {
		files = os.DirFS(cfg.Firmware.Dir)
	}
	b, err := bundle.Load(files, cfg.Environment, time.Now())
	if err != nil {
		return data{}, err
	}
	if cfg.Firmware.HotlistDir == "" {
		return data{}, &FieldError{"firmware_config.hotlist_dir", "the folder of crl.toml and exceptions.toml", ""}
	}
	h, err := bundle.LoadHotlist(os.DirFS(cfg.Firmware.HotlistDir))
	return data{b, h}, err
}

func terminalConfig(cfg Config, d data) (terminal.Config, error) {
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return terminal.Config{}, fmt.Errorf("time_zone: %w", err)
	}
	start, err := time.Parse("15:04", cfg.DayStart)
	if err != nil {
		return terminal.Config{}, fmt.Errorf("day_start: %w", err)
	}
	kernel := d.bundle.Terminal
	kernel.ID, kernel.MerchantID = cfg.TerminalID, cfg.Merchant
	kernel.Issuers = &emv.IssuerCache{}
	kernel.Relay.Calibration = calibration(cfg, d.bundle)
	limits, err := cfg.limits(d.bundle.Limits)
	if err != nil {
		return terminal.Config{}, err
	}
	return terminal.Config{Kernel: &kernel, Zone: zone, Bounds: cfg.bounds(start), Limits: limits}, nil
}

// calibration is what the reader itself adds to an exchange, as its profile
// says (scheme 5.7); nothing when no profile knows the reader.
func calibration(cfg Config, b *bundle.Bundle) time.Duration {
	if cfg.Reader.Kind == "virtual" {
		p, _ := b.Profile("virtual")
		return p.RelayOffset
	}
	best, length := time.Duration(0), -1
	for _, p := range b.Profiles {
		for _, part := range p.Match {
			if p.Transport == cfg.Reader.Kind && len(part) > length && strings.Contains(cfg.Reader.Name, part) {
				best, length = p.RelayOffset, len(part) // the longest name knows the reader best
			}
		}
	}
	return best
}

func (l *Lane) openReader(models []reader.Model) error {
	switch l.cfg.Reader.Kind {
	case "pn532":
		return l.openPN532()
	case "zvt":
		return l.openZVT()
	case "virtual":
		r, err := virtual.Listen(l.cfg.Reader.Socket)
		if err != nil {
			return &PartError{"reader", err}
		}
		l.reader = r
		l.closing = append(l.closing, r.Close)
		return nil
	}
	service, err := pcsc.New(models...)
	if err != nil {
		return &PartError{"reader", err}
	}
	l.closing = append(l.closing, service.Close)
	r := service.Reader(l.cfg.Reader.Name)
	l.reader = r
	l.closing = append(l.closing, r.Close)
	return nil
}

func (l *Lane) openLink(keys *wire.Terminal, handle receiver) error {
	files, err := tlsFiles(l.cfg.Wallet)
	if err != nil {
		return err
	}
	l.link, err = uplink.New(uplink.Config{
		Broker: l.cfg.Wallet.Broker, ClientID: l.cfg.Wallet.ClientID, Terminal: keys, Credentials: credentials(l.cfg.Wallet), Files: files,
		Handle: handle, Handlers: handlers, Changed: l.linkChanged, Version: l.version,
		Applied: l.hotlist.applied,
		Waiting: func() int64 { waiting, _ := l.store.Depth(); return int64(waiting) },
		Heads:   func() wire.Heads { return l.terminal.Heads() }, // asked once the link runs
	})
	if err == nil {
		l.hotlist.told = l.link.TellState
	}
	return err
}

// warner lets the queue say what its library has to say.
type warner struct{ log zerolog.Logger }

func (w warner) Warn(text string) { w.log.Warn().Str("part", "journal").Msg(text) }
