package serialport

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Found is one serial port of the machine. Nothing was opened to find it.
type Found struct {
	Path   string // to write into a configuration: below /dev/serial/by-id where there is a name that lasts
	Device string // what it is called today, as /dev/ttyUSB0
	Title  string // what the USB device calls itself; "" for a port on the board
	USB    string // vendor:product
	Driver string
	// Bridge: a bare adapter from USB to a serial line, which tells nothing of what hangs on it.
	Bridge bool
	By     []Holder // who has it now
}

// bridges are the usual adapters that sit on NFC modules and cables. A device with an id of its own is what it says.
var bridges = []string{"0403:6001", "0403:6010", "0403:6011", "0403:6014", "0403:6015", "067b:2303", "067b:23a3", "10c4:ea60", "1a86:5523", "1a86:7522", "1a86:7523", "1a86:55d4"}

// List finds the serial ports that have a device behind them, in the order of their paths.
func List() ([]Found, error) { return list("/", holders) }

// list reads a tree that has dev and sys in it.
func list(root string, holders func(string) []Holder) ([]Found, error) {
	lasting := lastingNames(root)
	names, err := os.ReadDir(filepath.Join(root, "sys/class/tty"))
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, n := range names {
		class := filepath.Join(root, "sys/class/tty", n.Name())
		device, err := filepath.EvalSymlinks(filepath.Join(class, "device"))
		if err != nil {
			continue // consoles and ptys
		}
		if text(filepath.Join(class, "type")) == "0" {
			continue // the kernel keeps names for UARTs that are not there
		}
		f := Found{Device: "/dev/" + n.Name(), Driver: base(filepath.Join(device, "driver"))}
		f.Path = f.Device
		if by, ok := lasting[n.Name()]; ok {
			f.Path = by
		}
		f.usb(device)
		f.By = holders(f.Device)
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	return found, nil
}

// usbLevels is how far above its tty the USB device is: interface and device, or one more for a usb-serial port.
const usbLevels = 3

// usb reads what the USB device says of itself.
func (f *Found) usb(device string) {
	for range usbLevels {
		vendor, product := text(device+"/idVendor"), text(device+"/idProduct")
		if vendor != "" && product != "" {
			f.USB = vendor + ":" + product
			f.Title = strings.TrimSpace(text(device+"/manufacturer") + " " + text(device+"/product"))
			f.Bridge = slices.Contains(bridges, f.USB)
			return
		}
		device = filepath.Dir(device)
	}
}

// lastingNames maps a device's name of today to the one below /dev/serial/by-id, which stays over unplugging.
func lastingNames(root string) map[string]string {
	names := map[string]string{}
	links, err := os.ReadDir(filepath.Join(root, "dev/serial/by-id"))
	if err != nil {
		return names
	}
	for _, l := range links {
		if target := base(filepath.Join(root, "dev/serial/by-id", l.Name())); target != "" {
			names[target] = "/dev/serial/by-id/" + l.Name()
		}
	}
	return names
}

// base is the last name of what a link points to, "" when it is no link.
func base(link string) string {
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// maxText bounds what a device may say of itself.
const maxText = 80

// text reads one line of sysfs and makes it fit to be shown.
func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, strings.TrimSpace(string(b)))
	return clean[:min(len(clean), maxText)]
}
