package readertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lab is a pcscd with USB readers made of software: they are plugged and unplugged by pcscd's own hotplug path, and a
// driver asks the Lab for everything that a reader and its phone would do, so that both can fail in each way that a
// real driver reports. It starts without any reader.
type Lab struct {
	*PCSCD

	listener net.Listener
	fifo     *os.File
	serving  sync.WaitGroup

	mu      sync.Mutex
	devices []*Device
	open    map[uint16]*Device // by pcscd's own number of the reader
	calls   map[string]int     // how often the driver was asked for what
}

// StartLab starts a Lab with its files in dir, as StartPCSCD does. It needs gcc and libpcsclite-dev besides. The Lab
// keeps running when its pcscd is ended; Restart gives it a new one.
func StartLab(ctx context.Context, dir string) (*Lab, error) {
	l, err := startLab(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("start a lab of readers: %w", err)
	}
	return l, nil
}

func startLab(ctx context.Context, dir string) (*Lab, error) {
	dir, socket, err := place(dir)
	if err != nil {
		return nil, err
	}
	if _, err := program(); err != nil {
		return nil, err
	}
	driver, shim, err := buildLab()
	if err != nil {
		return nil, err
	}
	if err := writeDrivers(dir, driver); err != nil {
		return nil, err
	}
	l := &Lab{open: map[uint16]*Device{}, calls: map[string]int{}}
	path, fifo := filepath.Join(dir, "lab.sock"), filepath.Join(dir, "udev.fifo")
	_ = os.Remove(path)
	if l.listener, err = net.Listen("unix", path); err != nil {
		return nil, err
	}
	_ = os.Remove(fifo)
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, err
	}
	// Read and write: to open it for writing alone would wait for pcscd.
	if l.fifo, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	l.PCSCD = &PCSCD{
		Socket: socket, dir: dir, private: true, drivers: filepath.Join(dir, "drivers"),
		env: []string{"SHIM=" + shim, "IFDLAB_SOCKET=" + path, "UDEVSHIM_FIFO=" + fifo},
	}
	go l.serve()
	if err := l.Restart(ctx); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// Restart starts pcscd again after it was ended. Readers that are plugged in are found by it.
func (l *Lab) Restart(ctx context.Context) error {
	daemon, err := program()
	if err != nil {
		return err
	}
	l.exited = make(chan struct{})
	if err := l.run(daemon); err != nil {
		return err
	}
	if err := l.ready(ctx, 0); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.open)
	for _, d := range l.devices {
		clear(d.channels)
		if d.plugged {
			l.udev('a', d)
		}
	}
	return nil
}

// Stop ends pcscd, and leaves the Lab to be given a new one by Restart.
func (l *Lab) Stop() error { return l.PCSCD.Close() }

// Close ends pcscd and the Lab.
func (l *Lab) Close() error {
	if l.cmd != nil {
		_ = l.PCSCD.Close()
	}
	err := errors.Join(l.listener.Close(), l.fifo.Close())
	l.serving.Wait()
	return err
}

// Exited is closed when pcscd has ended.
func (p *PCSCD) Exited() <-chan struct{} { return p.exited }

// labNames are the names that the lab's driver has for its readers, as libccid's Info.plist has them.
var labNames = map[string]string{
	"072f:2200": "ACS ACR122U PICC Interface",
	"072f:223b": "ACS ACR1252 Dual Reader",
	"076b:5022": "HID Global OMNIKEY 5022 Smart Card Reader",
	"076b:5422": "HID Global OMNIKEY 5422 Smartcard Reader",
	"04e6:5790": "Identiv uTrust 3700 F CL Reader",
	"1234:0001": "Nameless Reader",
}

// writeDrivers makes pcscd's folder of USB drivers, with one driver for all of labNames.
func writeDrivers(dir, driver string) error {
	contents := filepath.Join(dir, "drivers", "ifdlab.bundle", "Contents")
	if err := os.MkdirAll(filepath.Join(contents, "Linux"), 0o755); err != nil {
		return err
	}
	lib, err := os.ReadFile(driver)
	if err != nil {
		return err
	}
	var vendors, products, names strings.Builder
	for id, name := range labNames {
		vendor, product, _ := strings.Cut(id, ":")
		fmt.Fprintf(&vendors, "<string>0x%s</string>\n", vendor)
		fmt.Fprintf(&products, "<string>0x%s</string>\n", product)
		fmt.Fprintf(&names, "<string>%s</string>\n", name)
	}
	plist := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
<key>CFBundleExecutable</key><string>libifdlab.so</string>
<key>CFBundleName</key><string>IFDLAB</string>
<key>ifdVendorID</key><array>%s</array>
<key>ifdProductID</key><array>%s</array>
<key>ifdFriendlyName</key><array>%s</array>
</dict></plist>
`, vendors.String(), products.String(), names.String())
	return errors.Join(
		os.WriteFile(filepath.Join(contents, "Linux", "libifdlab.so"), lib, 0o755),
		os.WriteFile(filepath.Join(contents, "Info.plist"), []byte(plist), 0o644),
	)
}

// udev sends one event. The mutex is held.
func (l *Lab) udev(action byte, d *Device) {
	record := make([]byte, udevRecord)
	copy(record, fmt.Sprintf("%c|%d|%s|%s|%s|%s", action, d.number, d.USB[:4], d.USB[5:], d.Interface, d.Serial))
	_, _ = l.fifo.Write(record) // the FIFO has room for 512 events
}

const udevRecord = 128

// Plug plugs a reader in. It waits until pcscd is done with the last time that this one was there, which takes it half a
// second: a reader that comes back before that is a duplicate to pcscd, and is never shown. Hands are slower.
func (l *Lab) Plug(d *Device) {
	l.mu.Lock()
	for end := time.Now().Add(labPatience); len(d.channels) > 0 && time.Now().Before(end); l.mu.Lock() {
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	defer l.mu.Unlock()
	if d.lab == nil {
		d.lab, d.number = l, len(l.devices)+1
		for len(d.slots) < max(1, d.Slots) {
			d.slots = append(d.slots, &Slot{device: d})
		}
		l.devices = append(l.devices, d)
	}
	d.plugged, d.channels = true, map[uint32]bool{}
	l.udev('a', d)
}

// labPatience is more than pcscd takes to forget a reader.
const labPatience = 5 * time.Second

// Unplug pulls a reader out: the driver finds it gone at once, and pcscd is told.
func (l *Lab) Unplug(d *Device) {
	l.mu.Lock()
	d.plugged = false
	l.udev('r', d)
	l.mu.Unlock()
	for _, s := range d.slots {
		s.cut()
	}
}

// Calls is how often the driver was asked for something: "transmit", "power", "control", "presence".
func (l *Lab) Calls(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[what]
}
