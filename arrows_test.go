package tapkeeper_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// room is one row of the import table of docs/architecture.md. A package belongs
// to the room with the longest path that it lies in. Whatever a row does not name
// is forbidden, so that a new arrow or a new dependency is written here, with its
// reason, before it is used.
type room struct {
	path  string
	why   string   // the reason for the rule, printed with a violation
	ours  []string // our packages it may import; "x/..." is x and all below; its own folders are always allowed
	third []string // modules of others, by import path prefix
	tests []string // more of ours, in _test.go files only
	pure  bool     // no I/O: none of impure in non-test code
	alone bool     // not even its own children
	later bool     // belongs to a later piece of work and need not exist yet
}

const (
	badger     = "github.com/dgraph-io/badger/v4"
	cobra      = "github.com/spf13/cobra"
	goTPM      = "github.com/google/go-tpm"
	huma       = "github.com/danielgtaylor/huma/v2"
	isatty     = "github.com/mattn/go-isatty"
	jose       = "github.com/go-jose/go-jose/v4"
	mochi      = "github.com/mochi-mqtt/server/v2"
	protobuf   = "google.golang.org/protobuf" // the form of badger's own manifests and tables
	natsServer = "github.com/nats-io/nats-server/v2"
	paho       = "github.com/eclipse/paho.mqtt.golang"
	scard      = "github.com/ebfe/scard"
	schema     = "github.com/santhosh-tekuri/jsonschema/v6"
	serialPort = "go.bug.st/serial"
	sqlite     = "modernc.org/sqlite"
	nats       = "github.com/nats-io/nats.go"
	pgx        = "github.com/jackc/pgx/v5"
	sysd       = "github.com/coreos/go-systemd/v22"
	toml       = "github.com/pelletier/go-toml/v2"
	toxiproxy  = "github.com/Shopify/toxiproxy/v2"
	uuid       = "github.com/google/uuid"
	xterm      = "golang.org/x/term"
	xsys       = "golang.org/x/sys"
	zerolog    = "github.com/rs/zerolog"
)

var (
	// impure are the standard packages through which a pure room would reach the world.
	impure = []string{"os", "net", "log", "database/sql", "syscall", "os/...", "net/...", "log/..."}

	// testTools may be used by _test.go files and <package>test folders: they assert, generate and script, and reach nothing of the product.
	testTools = []string{"pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal", "github.com/creack/pty",
		"github.com/hanwen/go-fuse/v2", "go.etcd.io/bbolt", sqlite} // a disk that fails, and what a benchmark compares with

	codecs = []string{"emv/tlv", "emv/apdu", "emv/cert", "emv/channel"}
)

var rooms = []room{
	{path: ".", why: "the root holds tests of the whole tree and no code"},

	{path: "emv", pure: true, tests: []string{"emv/..."},
		why: "the kernel is pure: no I/O, no clock, no log, and nothing of ours but its own children"},
	{path: "emv/tlv", pure: true, tests: codecsAnd("emv/emvtest"), why: "a codec knows no one above it"},
	{path: "emv/apdu", pure: true, ours: []string{"emv/tlv"}, tests: codecsAnd("emv/emvtest"), why: "a codec knows no one above it"},
	{path: "emv/channel", pure: true, ours: []string{"emv/tlv"}, tests: codecsAnd("emv/emvtest"), why: "cryptography over bytes, no kernel"},
	{path: "emv/cert", pure: true, ours: []string{"emv/tlv", "emv/channel"}, tests: codecsAnd("emv/emvtest"), why: "layouts and signatures, no kernel"},
	{path: "emv/dict", pure: true, ours: codecs, tests: codecsAnd("emv/emvtest"), why: "the dictionary is data over the codecs"},
	{path: "emv/evidence", pure: true, ours: codecsAnd("emv"), tests: []string{"emv/emvtest"},
		why: "a third party's judgement of a record: it takes the kernel's words for people, and none of its verdicts"},
	{path: "emv/emvtest", why: "the vectors are plain data, so that kernel, phone and wallet can be judged by the same files"},

	{path: "reader", why: "a reader carries bytes and knows nothing of payments", third: []string{xsys}},
	{path: "reader/pcsc", ours: []string{"reader/..."}, third: []string{scard, xsys}, tests: []string{"emv", "emv/emvtest"},
		why: "scard (cgo) only here; its tests measure a whole tap through the kernel beside a bare replay through scard"},
	{path: "reader/serialport", third: []string{serialPort, xsys}, why: "go.bug.st/serial only here: its sharp edges are closed in one place"},
	{path: "reader/pn532", ours: []string{"reader/..."}, why: "a reader on a line, however the line is opened"},
	{path: "reader/recognise", ours: []string{"reader/..."}, why: "what sits on a serial port: it knows all that may"},
	{path: "reader/zvt", ours: []string{"reader/..."}, why: "a card terminal on a line, however the line is opened"},

	{path: "queue", third: []string{badger, protobuf, zerolog, xsys}, why: "badger only here, and the journal does not know what it keeps"},

	{path: "queue/archive", alone: true, why: "a sealed and signed file of items; it knows neither a journal nor a store"},
	{path: "queue/vault", alone: true, third: []string{goTPM, xsys}, tests: []string{"queue/vault/vaulttest"}, why: "keys and the places they come from; it knows no journal, and a journal knows no TPM"},

	{path: "uplink", third: []string{paho, zerolog}, why: "paho only here and in cmd/walletd"},
	{path: "uplink/wire", alone: true, pure: true, third: []string{jose}, tests: []string{"uplink/wire/wiretest"},
		why: "the message contract is pure: both sides of the wire share it"},
	{path: "uplink/wire/wiretest", alone: true, third: []string{schema}, why: "judges messages by the published schemas alone, not by our reading of them"},
	{path: "uplink/conform", ours: []string{"uplink/wire", "wallet/phone", "wallet/backend/backendtest"}, third: []string{paho},
		tests: []string{"uplink/uplinktest", "uplink/wire/wiretest", "wallet/..."},
		why:   "a terminal without a kernel, for any wallet: it judges by the contract, and knows neither the link nor a backend"},
	{path: "uplink/uplinktest", ours: []string{"uplink/..."}, third: []string{mochi, paho}, why: "the embedded broker only in tests and the demo"},
	{path: "uplink/uplinktest/cluster", ours: []string{"uplink/uplinktest"}, third: []string{natsServer, paho}, why: "the NATS server only as a process beside a test, and never in the demo"},
	{path: "uplink/uplinktest/network", third: []string{toxiproxy, zerolog}, why: "toxiproxy only in tests"},

	{path: "wallet", ours: append([]string{"uplink/wire", "wallet/..."}, codecs...), tests: []string{"emv/emvtest"},
		why: "the other side shares the codecs and the wire, never the kernel, the queue or a reader: it must be able to disagree"},
	{path: "wallet/ledger", ours: []string{"wallet/..."}, third: []string{sqlite, pgx}, why: "database drivers only here"},

	{path: "terminal", ours: []string{"emv/...", "uplink/wire"}, third: []string{uuid},
		why: "one payment; store, link and reader are interfaces that it declares"},
	{path: "terminal/dispute", pure: true, ours: []string{"emv", "emv/channel", "emv/evidence", "uplink/wire"}, tests: []string{"emv/emvtest"},
		why: "evidence files and their verification on any machine: pure, and apart from the terminal that makes them"},
	{path: "till", ours: []string{"terminal/..."}, third: []string{huma}, why: "the local API sees payments, nothing below them"},
	{path: "lane", third: []string{zerolog, xsys},
		ours: []string{"emv/...", "firmware-config/...", "queue/...", "reader/...", "terminal/...", "uplink/...", "wallet/...", "diagnose/..."},
		why:  "joins the rooms by adapters; knows neither programs nor the till"},
	{path: "lane/endtoend", third: []string{paho, zerolog},
		ours: []string{"lane/...", "queue", "uplink/...", "wallet/...", "terminal"},
		why:  "tests and benchmarks of a whole lane and a whole wallet, the library's bare round trip beside"},
	{path: "diagnose", later: true, why: "declares what it needs as small interfaces"},

	{path: "firmware-config", alone: true, why: "embeds the data a fleet ships and does nothing else"},
	{path: "firmware-config/bundle", ours: []string{"emv", "reader/..."}, tests: []string{"firmware-config", "emv/emvtest"}, third: []string{toml},
		why: "refuses bad data before the kernel sees it"},

	{path: "cmd/tapkeeper", ours: []string{"..."}, third: []string{cobra, sysd, toml, zerolog, isatty, uuid, xsys, xterm}, why: "the daemon knows no broker, database or reader library by name"},
	{path: "cmd/tapdemo", ours: []string{"..."}, third: []string{cobra, mochi, toml, zerolog, isatty, uuid, xsys}, why: "the embedded broker is never part of the daemon"},
	{path: "cmd/walletd", ours: []string{"wallet/...", "uplink/wire"}, tests: []string{"uplink/uplinktest/...", "uplink/conform", "uplink/wire/wiretest"}, third: []string{cobra, paho, nats, toml, zerolog, isatty}, why: "the wallet as a process knows nothing of the terminal"},
	{path: "cmd/phonesim", ours: []string{"wallet/phone", "reader/readertest/...", "reader/zvt"}, tests: []string{"reader", "reader/pn532"}, third: []string{cobra}, why: "a phone knows no terminal and no wallet backend"},

	{path: "systemd", why: "files for systemd and a test that lets systemd judge them"},
}

func codecsAnd(more ...string) []string { return append(slices.Clone(codecs), more...) }

// matches reports whether an import path is covered by a pattern list; a bare name covers exactly itself.
func matches(patterns []string, imported string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, all := strings.CutSuffix(p, "...")
		return p == imported || all && (strings.HasPrefix(imported+"/", below) || below == "")
	})
}

// isThird reports whether an import path names somebody else's module: only those have a dot in their first element.
func isThird(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}

// within reports whether a folder is a room or lies in it.
func within(folder, room string) bool {
	return folder == room || strings.HasPrefix(folder, room+"/")
}

// roomOf finds the innermost room of a folder.
func roomOf(folder string, rooms []room) (room, bool) {
	best := -1
	for i, r := range rooms {
		if within(folder, r.path) && (best < 0 || len(r.path) > len(rooms[best].path)) {
			best = i
		}
	}
	if best < 0 {
		return room{}, false
	}
	return rooms[best], true
}

// inTestFolder reports whether a folder is, or lies in, a <package>test folder.
func inTestFolder(folder string) bool {
	return slices.ContainsFunc(strings.Split(folder, "/"), func(part string) bool { return strings.HasSuffix(part, "test") })
}

// allowed says whether a file of room r may have this import.
func (r room) allowed(f goFile, imported string) bool {
	ours := strings.TrimPrefix(imported, module+"/")
	switch {
	case ours != imported || imported == module:
		own := ours == f.folder && f.test || !r.alone && within(ours, r.path) && within(f.folder, r.path)
		return own || matches(r.ours, ours) || f.test && matches(r.tests, ours)
	case isThird(imported):
		hit := func(m string) bool { return within(imported, m) }
		return slices.ContainsFunc(r.third, hit) || (f.test || inTestFolder(f.folder)) && slices.ContainsFunc(testTools, hit)
	default:
		return !r.pure || f.test || !matches(impure, imported)
	}
}

// violations holds the table against a tree; each line names the file, the import and the rule's reason.
func violations(t *testing.T, tree fs.FS, rooms []room) []string {
	t.Helper()
	var found []string
	for _, f := range goFiles(t, tree) {
		r, ok := roomOf(f.folder, rooms)
		if !ok {
			found = append(found, fmt.Sprintf("%s: belongs to no room of docs/architecture.md", f.name))
			continue
		}
		for _, imported := range f.imports {
			if !r.allowed(f, imported) {
				found = append(found, fmt.Sprintf("%s: %s must not import %s: %s", f.name, r.path, imported, r.why))
			}
		}
	}
	return found
}

// ghosts are rooms of the table that are neither in the tree nor expected later.
func ghosts(t *testing.T, tree fs.FS, rooms []room) []string {
	t.Helper()
	files := goFiles(t, tree)
	var found []string
	for _, r := range rooms {
		lived := slices.ContainsFunc(files, func(f goFile) bool { return within(f.folder, r.path) })
		if !lived && !r.later && r.path != "." {
			found = append(found, r.path)
		}
	}
	return found
}

func TestArrows(t *testing.T) {
	for _, v := range violations(t, project(), rooms) {
		t.Error(v)
	}
	for _, g := range ghosts(t, project(), rooms) {
		t.Errorf("the table names room %s, which does not exist", g)
	}
	for _, r := range rooms {
		if r.why == "" {
			t.Errorf("room %s has no reason", r.path)
		}
	}
}

// Each planted file breaks, or keeps, one rule: a checker that finds nothing must not look like a clean tree.
func TestArrowsCatchPlantedViolations(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		legal          bool
	}{
		{"emv/kernel.go", "tapkeeper/emv/tlv", true},
		{"emv/kernel.go", "tapkeeper/reader", false},
		{"emv/kernel.go", "os", false},
		{"emv/kernel.go", "net/http", false},
		{"emv/kernel.go", "log/slog", false},
		{"emv/kernel_test.go", "os", true},
		{"emv/kernel_test.go", "tapkeeper/queue", false},
		{"emv/tlv/tlv.go", "tapkeeper/emv", false},
		{"emv/emvtest/load.go", "tapkeeper/emv", false},
		{"reader/pcsc/pcsc.go", scard, true},
		{"reader/virtual/virtual.go", scard, false},
		{"reader/virtual/virtual.go", "tapkeeper/reader", true},
		{"reader/virtual/virtual.go", "tapkeeper/emv", false},
		{"queue/store.go", badger, true},
		{"queue/store.go", "tapkeeper/uplink", false},
		{"wallet/ledger/ledger.go", sqlite, true},
		{"wallet/ledger/ledger.go", badger, false},
		{"wallet/backend/backend.go", sqlite, false},
		{"wallet/backend/backend.go", "tapkeeper/emv", false},
		{"wallet/backend/backend.go", "tapkeeper/emv/cert", true},
		{"wallet/backend/backend_test.go", "tapkeeper/emv/emvtest", true},
		{"uplink/link.go", paho, true},
		{"uplink/wire/wire.go", "tapkeeper/uplink", false},
		{"uplink/wire/wire.go", paho, false},
		{"uplink/wire/wire_test.go", "tapkeeper/uplink/wire", true},
		{"uplink/link.go", mochi, false},
		{"cmd/tapdemo/broker.go", mochi, true},
		{"cmd/tapkeeper/serve.go", mochi, false},
		{"cmd/tapkeeper/serve.go", "tapkeeper/lane", true},
		{"cmd/walletd/main.go", "tapkeeper/terminal", false},
		{"cmd/walletd/main.go", "tapkeeper/uplink", false},
		{"lane/lane.go", "tapkeeper/cmd/tapkeeper", false},
		{"lane/lane.go", "tapkeeper/till", false},
		{"lane/lane.go", "tapkeeper/queue", true},
		{"terminal/payment.go", "tapkeeper/queue", false},
		{"terminal/payment_test.go", "pgregory.net/rapid", true},
		{"terminal/payment.go", "pgregory.net/rapid", false},
		{"reader/readertest/reader.go", "go.uber.org/goleak", true},
		{"firmware-config/data.go", "tapkeeper/firmware-config/bundle", false},
		{"helpers/misc.go", "fmt", false},
	} {
		source := fmt.Sprintf("//go:build never\n\npackage planted\n\nimport _ %q\n", c.imported)
		tree := fstest.MapFS{c.file: {Data: []byte(source)}}
		if got := len(violations(t, tree, rooms)) == 0; got != c.legal {
			t.Errorf("%s importing %s: legal %v, want %v", c.file, c.imported, got, c.legal)
		}
	}
	if got := ghosts(t, fstest.MapFS{"emv/x.go": {Data: []byte("package emv\n")}}, []room{{path: "emv"}, {path: "gone"}, {path: "till", later: true}}); !slices.Equal(got, []string{"gone"}) {
		t.Errorf("ghost rooms %v, want [gone]", got)
	}
}
