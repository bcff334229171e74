// Package bundle reads the configuration data of a fleet and refuses what is bad:
// unknown, missing or mistyped fields, values out of range, and parts that do not
// fit together. What it returns can be given to the kernel as it is.
//
// It refuses to guess. There are no defaults: a limit is in the file, or is named
// there as deliberately absent. With the environment "live" no test key, no test
// identifier and no virtual reader passes. Signatures over the data are not its
// business yet: whoever can write the folder is trusted.
package bundle

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"tapkeeper/emv"
)

// The two worlds that must not mix.
const (
	Test = "test"
	Live = "live"
)

// maxFileBytes is far above any honest file; the data may come from somebody's memory stick.
const maxFileBytes = 1 << 20

// Bundle is checked configuration.
type Bundle struct {
	Environment string
	Name        string
	// Terminal lacks what is one terminal's own: ID and MerchantID.
	Terminal   emv.Terminal
	Limits     Limits
	Languages  []string // first choice first
	Currencies []Currency
	Profiles   []Profile // those allowed in this environment
	Expired    []string  // files of CA keys that are past their last day and left out
}

// Limits bound what the terminal risks while the wallet has not confirmed (docs/terminal.md Limits).
type Limits struct {
	Payments  int64         // payments without a receipt
	SumMinor  int64         // their sum
	PerDevice int64         // their sum for one phone
	Age       time.Duration // age of the oldest
}

// Currency is an ISO 4217 currency.
type Currency struct {
	Numeric  emv.Code
	Alpha    string
	Exponent int
}

// Load reads and checks a folder for an environment. Keys are judged at the date
// of now. The error is a *Refused, except for an environment that does not exist.
func Load(fsys fs.FS, environment string, now time.Time) (*Bundle, error) {
	if environment != Test && environment != Live {
		return nil, &Refused{Faults: []Fault{{File: "environment", Want: "test or live", Got: quoted(environment)}}}
	}
	b := &Bundle{Environment: environment}
	faults := strays(fsys)
	keys, keyFaults := loadKeys(fsys)
	faults = append(faults, keyFaults...)
	for _, k := range keys {
		switch {
		case k.environment != environment:
		case k.lastDay.Before(day(now)):
			b.Expired = append(b.Expired, k.file)
		default:
			b.Terminal.CAKeys = append(b.Terminal.CAKeys, k.key)
		}
	}
	faults = append(faults, b.loadTerminal(fsys)...)
	faults = append(faults, b.loadProfiles(fsys)...)
	if err := refusal(faults); err != nil {
		return nil, err
	}
	if err := agrees(b.Terminal); err != nil {
		return nil, &Refused{Faults: []Fault{{File: terminalName, Want: "what the kernel accepts", Got: err.Error()}}}
	}
	return b, nil
}

// Profile finds the reader profile of a name.
func (b *Bundle) Profile(name string) (Profile, bool) {
	i := slices.IndexFunc(b.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return b.Profiles[i], true
}

// day cuts a moment to the calendar day that it shows.
func day(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// strays are TOML files that nothing would read: a misplaced key or limit must not look like one in force.
func strays(fsys fs.FS) []Fault {
	var faults []Fault
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "bundle" && d.IsDir(): // this package's own test data, when a checkout is loaded
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".toml":
			return nil
		}
		switch folder := path.Dir(name); {
		case name == terminalName, name == crlName, name == exceptionsName:
		case folder == "capk/test", folder == "capk/live", folder == "profiles":
		default:
			faults = append(faults, Fault{File: name, Want: "a place where it is read", Got: "a file that nothing reads"})
		}
		return nil
	})
	if err != nil {
		faults = append(faults, Fault{File: ".", Want: "a readable folder", Got: cause(err)})
	}
	return faults
}

// tomlFiles lists the TOML files of a folder; a folder that is not there has none.
func tomlFiles(fsys fs.FS, folder string) []string {
	entries, _ := fs.ReadDir(fsys, folder) // strays has reported a folder that cannot be read
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".toml") {
			names = append(names, path.Join(folder, e.Name()))
		}
	}
	return names
}
