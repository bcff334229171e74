package bundle

import (
	"io/fs"
	"slices"

	"tapkeeper/reader"
)

// Models reads and checks the profiles of a folder alone, for tools that have no other business with the
// configuration: PC/SC readers of an environment.
func Models(fsys fs.FS, environment string) ([]reader.Model, error) {
	b := &Bundle{Environment: environment}
	if !slices.Contains([]string{Test, Live}, environment) {
		return nil, &Refused{Faults: []Fault{{File: "environment", Want: "test or live", Got: quoted(environment)}}}
	}
	if err := refusal(b.loadProfiles(fsys)); err != nil {
		return nil, err
	}
	return b.Models(), nil
}
