package emvtest

import (
	"encoding/hex"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Leaks reports whether a text shows four bytes of b in a row, as hex or as they
// are. Three may stand in a text: they are a tag.
func Leaks(text string, b []byte) bool {
	const run = 4
	lower := strings.ToLower(text)
	for i := 0; i+run <= len(b); i++ {
		piece := b[i : i+run]
		if strings.Contains(lower, hex.EncodeToString(piece)) || !printable(piece) && strings.Contains(text, string(piece)) {
			return true
		}
	}
	return false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return true
}

// Allocated is the number of bytes that a call takes from the heap: the least of
// three, since what the runtime and other goroutines take counts too.
func Allocated(call func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		call()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// Kept is the number of inputs that are kept for a fuzz target of the package
// under test.
func Kept(tb testing.TB, target string) int {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	return len(files)
}
