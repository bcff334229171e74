package conform_test

import (
	"testing"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest"
	"tapkeeper/reader/readertest/conform"
)

func TestReaderInProcess(t *testing.T) {
	conform.Run(t, conform.Rig{Open: func(*testing.T) (reader.Reader, readertest.Field) {
		r := readertest.NewReader("in process")
		return r, r
	}})
}
