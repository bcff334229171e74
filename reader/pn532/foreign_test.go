package pn532

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapkeeper/reader"
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/serialport"
)

func TestHeldPort(t *testing.T) {
	t.Parallel()
	_, l := module(t)
	other, err := serialport.Open(l.Path(), serialport.Mode{Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, l.Path(), Options{})
	wantState(t, r, reader.Held)
	other.Close()
	wantState(t, r, reader.Ready)
}

func TestNoModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	wantState(t, open(t, filepath.Join(dir, "missing"), Options{}), reader.Missing)
	wantState(t, open(t, file, Options{}), reader.Wedged)
	silent, err := line.OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := open(t, silent.Path(), Options{})
	wantState(t, r, reader.Wedged)
	if !errors.Is(r.Trouble(), errSilent) {
		t.Errorf("%v, want that nothing answers", r.Trouble())
	}
	r.Close()
}

// What is not a PN532 is named by what it says, and is not sent more than three questions at each speed.
func TestForeignDevice(t *testing.T) {
	for name, tc := range map[string]struct {
		says string
		want string
	}{
		"modem":       {"\r\nERROR\r\n", `"ERROR"`},
		"other baud":  {"\x98\x80\x98\x80\x1e\x66", "98 80 98 80 1E 66"},
		"other chip":  {"\x00\x00\xff\x00\xff\x00\x00\x00\xff\x06\xfa\xd5\x03\x33\x02\x07\x07\xe5\x00", "33 02 07 07"},
		"GPS, always": {"$GPGGA,1,2", "$GPGGA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := line.OpenPTY("")
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan int, 1)
			go func() {
				n, b := 0, make([]byte, 256)
				for {
					k, err := l.Read(b)
					if err != nil {
						heard <- n
						return
					}
					n += k
					io.WriteString(l, tc.says)
				}
			}()
			r := open(t, l.Path(), Options{})
			wantState(t, r, reader.Wedged)
			foreign := (*ForeignError)(nil)
			if err := r.Trouble(); !errors.As(err, &foreign) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
			r.Close()
			l.Close()
			if n := <-heard; n > 800 {
				t.Errorf("the device was sent %d bytes", n)
			}
		})
	}
}

func TestMuteCard(t *testing.T) {
	if s := stateOf(errors.New("x")); s != reader.Wedged {
		t.Error(s)
	}
	answer := []byte{1, 1, 0x04, 0x00, 0x08, 4, 1, 2, 3, 4}
	targets, err := parseTargets(typeA, answer)
	if err != nil || targets[0].iso4 {
		t.Errorf("%+v, %v", targets, err)
	}
}
