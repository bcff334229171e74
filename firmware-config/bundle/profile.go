package bundle

import (
	"io/fs"
	"slices"
	"strings"
	"time"

	"tapkeeper/reader"
)

// Profile is what is known about a reader model, as data: a difference between
// models is written here, not asked for in code.
type Profile struct {
	Name        string
	Transport   string   // "pcsc", "pn532", "zvt" or "virtual"
	Match       []string // parts of the reader's name
	MaxCommand  int      // longest command it carries, bytes
	MaxAnswer   int
	RelayOffset time.Duration // subtracted from a measured exchange (scheme 5.7)
	Quirks      []Quirk
	Model       reader.Model // what the driver needs of all this
}

// Quirk is one thing that must be done differently with a reader, and why.
type Quirk struct {
	What   string `toml:"what"`
	Reason string `toml:"reason"`
	Link   string `toml:"link"`
}

// Fits reports whether a reader of this PC/SC name is of the profile's model.
func (p Profile) Fits(name string) bool {
	return slices.ContainsFunc(p.Match, func(part string) bool { return strings.Contains(name, part) })
}

// loadProfiles reads every profile and keeps those allowed in the environment.
func (b *Bundle) loadProfiles(fsys fs.FS) []Fault {
	names := tomlFiles(fsys, "profiles")
	if len(names) == 0 {
		return []Fault{{File: "profiles", Want: "at least one reader profile", Got: "none"}}
	}
	var faults []Fault
	for _, name := range names {
		c := &inspector{file: name}
		var f profileFile
		if c.read(fsys, maxFileBytes, &f) {
			c.profile(f)
			if slices.Contains(f.Environments, b.Environment) {
				b.Profiles = append(b.Profiles, f.profile())
			}
		}
		faults = append(faults, c.faults...)
	}
	return faults
}

func (f profileFile) profile() Profile {
	offset := time.Duration(f.RelayOffset) * time.Microsecond
	return Profile{
		Name: f.Name, Transport: f.Transport, Match: f.Match,
		MaxCommand: int(f.MaxCommand), MaxAnswer: int(f.MaxAnswer),
		RelayOffset: offset, Quirks: f.Quirks, Model: f.model(offset),
	}
}

// Models are the PC/SC readers that the profiles know.
func (b *Bundle) Models() []reader.Model {
	var models []reader.Model
	for _, p := range b.Profiles {
		if p.Transport == "pcsc" {
			models = append(models, p.Model)
		}
	}
	return models
}

// profile checks one reader profile. The bounds are those of ISO/IEC 7816-4 extended APDUs.
func (c *inspector) profile(f profileFile) {
	c.within("schema", f.Schema, schema, schema)
	c.want("profiles/"+f.Name+".toml" == c.file, "name", "the file's name", quoted(f.Name))
	c.oneOf("transport", f.Transport, "pcsc", "pn532", "zvt", "virtual")
	c.want(len(f.Environments) > 0, "environments", "test, live or both", "none")
	for _, e := range f.Environments {
		c.oneOf("environments", e, Test, Live)
		c.want(f.Transport != "virtual" || e == Test, "environments", `["test"] for a virtual reader`, quoted(e))
	}
	c.within("max_command_bytes", f.MaxCommand, 4, 65544)
	c.within("max_answer_bytes", f.MaxAnswer, 2, 65538)
	c.within("relay_offset_us", f.RelayOffset, 0, 100_000)
	for _, q := range f.Quirks {
		c.want(q.What != "" && q.Reason != "", "quirks", "what is different and the reason", quoted(q.What))
	}
	c.want(f.Source != "", "source", "where the values come from", "nothing")
	if f.Transport == "pcsc" {
		c.reader(f.Reader)
	}
}
