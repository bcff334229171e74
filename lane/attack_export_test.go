package lane

import (
	"tapkeeper/reader"
	"tapkeeper/terminal"
)

// FieldOf lets phones be tapped on a reader, as a lane does.
func FieldOf(r reader.Reader) terminal.Field { return field{reader: r} }
