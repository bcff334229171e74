package serialport

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// tree makes files, and links where the content begins with "->".
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := content, len(content) > 2 && content[:2] == "->"; link {
			err = os.Symlink(target[2:], path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestList(t *testing.T) {
	usb := "sys/devices/usb1/1-2/"
	root := tree(t, map[string]string{
		"sys/class/tty/tty0/dev": "4:0\n", // a console has no device
		// a UART that is there, and a name for one that is not
		"sys/devices/pnp/00:01/x":                         "",
		"sys/class/tty/ttyS0/type":                        "4\n",
		"sys/class/tty/ttyS0/device":                      "->../../../devices/pnp/00:01",
		"sys/class/tty/ttyS1/type":                        "0\n",
		"sys/class/tty/ttyS1/device":                      "->../../../devices/pnp/00:01",
		usb + "idVendor":                                  "1a86\n",
		usb + "idProduct":                                 "7523\n",
		usb + "manufacturer":                              "QinHeng\n",
		usb + "product":                                   "USB Serial\x1b[2J\n",
		usb + "1-2:1.0/ttyUSB0/driver":                    "->../../../../../bus/ch341-uart",
		"sys/class/tty/ttyUSB0/device":                    "->../../../devices/usb1/1-2/1-2:1.0/ttyUSB0",
		"dev/serial/by-id/usb-1a86_USB_Serial-if00-port0": "->../../ttyUSB0",
	})
	got, err := list(root, func(d string) []Holder {
		if d == "/dev/ttyS0" {
			return []Holder{{7, "getty"}}
		}
		return nil
	})
	want := []Found{
		{Path: "/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0", Device: "/dev/ttyUSB0", Title: "QinHeng USB Serial[2J", USB: "1a86:7523", Driver: "ch341-uart", Bridge: true},
		{Path: "/dev/ttyS0", Device: "/dev/ttyS0", By: []Holder{{7, "getty"}}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestListOfThisMachine(t *testing.T) {
	found, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Path == "" || f.Device == "" {
			t.Errorf("%+v", f)
		}
	}
}
