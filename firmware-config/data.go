// Package firmwareconfig embeds the configuration data of this folder, so that a
// daemon without a configured folder has the defaults of its own version. It
// judges nothing: package bundle does, and refuses what does not fit together.
package firmwareconfig

import (
	"embed"
	"io/fs"
)

//go:embed terminal capk profiles signers
var data embed.FS

// Files returns the embedded folder.
func Files() fs.FS { return data }
