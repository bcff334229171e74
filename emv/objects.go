package emv

import (
	"fmt"
	"strings"

	"tapkeeper/emv/cert"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// application is the selected application with everything that one kernel
// activation learns of it. Data of two activations never meet (scheme 8.4).
type application struct {
	aid     *AID
	flags   aidFlags
	objects objects
	tvr     TVR
	tsi     TSI

	un       [4]byte
	key      channel.AgreeKey
	values   map[tlv.Tag][]byte // of scheme 4.1
	pdolData []byte
	channel  opened
	counter  uint16 // CMC of the next encrypted record (scheme 6.2)

	relay relay

	afl    []aflRecord // records not yet read
	signed []byte      // S of scheme 2.4
	cdol1  tlv.DOL
	chain  chain

	checked checked
}

// objects are the known objects of one activation (scheme 0.1 rule 4): so few
// that looking through them is cheaper than a map.
type objects []tlv.Node

// someObjects is the room that the objects of a usual tap take.
const someObjects = 24

// origin is where objects come from.
type origin struct {
	source dict.Source
	signed bool // a record that the AFL marks as signed
	plain  bool // a record that was not encrypted
	direct bool // known objects must stand at depth 1, right inside the template
}

// take adds the known objects among nodes. An error means malformed: forbidden,
// twice, from the wrong answer, or of a length or format that the table does
// not allow (scheme 0.1 rules 4 and 5, 4.2).
func (o *objects) take(nodes []tlv.Node, from origin) error {
	var err error
	tlv.Walk(nodes, func(n tlv.Node, depth int) bool {
		err = o.add(n, depth, from)
		return err == nil
	})
	return err
}

func (o *objects) add(n tlv.Node, depth int, from origin) error {
	if dict.Forbidden(n.Tag) {
		return fmt.Errorf("forbidden object %v", n.Tag)
	}
	e, known := dict.FromPhone(n.Tag)
	if !known {
		return nil
	}
	_, twice := o.find(n.Tag)
	switch {
	case e.Source != from.source:
		return fmt.Errorf("object %v in the wrong answer", n.Tag)
	case twice:
		return fmt.Errorf("object %v twice", n.Tag)
	case !e.Fits(n.Value):
		return fmt.Errorf("object %v with %d bytes, or not numeric", n.Tag, len(n.Value))
	case e.Signed && !from.signed:
		return fmt.Errorf("object %v in an unsigned record", n.Tag)
	case from.plain && encryptedOnly(n.Tag):
		return fmt.Errorf("object %v not encrypted", n.Tag)
	case from.direct && depth != 1:
		return fmt.Errorf("object %v nested", n.Tag)
	}
	*o = append(*o, n)
	return nil
}

// encryptedOnly reports what must never cross the air in the clear (scheme 4.3).
func encryptedOnly(tag tlv.Tag) bool { return tag == 0xDF8B01 || tag == 0x9F46 || tag == 0xDF8B11 }

// find returns the object with that tag.
func (o objects) find(tag tlv.Tag) (tlv.Node, bool) {
	for i := range o {
		if o[i].Tag == tag {
			return o[i], true
		}
	}
	return tlv.Node{}, false
}

// value returns the value of an object, raw all of it as it was transmitted; nil
// when it is absent.
func (o objects) value(tag tlv.Tag) []byte { n, _ := o.find(tag); return n.Value }
func (o objects) raw(tag tlv.Tag) []byte   { n, _ := o.find(tag); return n.Raw }

// has reports whether all of the objects are there.
func (o objects) has(tags ...tlv.Tag) bool {
	for _, t := range tags {
		if _, ok := o.find(t); !ok {
			return false
		}
	}
	return true
}

// sdh recomputes the static data hash from the TLVs as transmitted (scheme 2.4).
func (app *application) sdh() [32]byte {
	o := app.objects
	return cert.StaticDataHash(app.signed, o.raw(0x82), o.raw(0x84), o.raw(0x9F38), o.raw(0x9F2C))
}

func (app *application) device() DeviceID {
	if v := app.objects.value(0xDF8B01); v != nil {
		return NewDeviceID([8]byte(v))
	}
	return DeviceID{}
}

// describe adds to an outcome who was tapped.
func (app *application) describe(o *Outcome) {
	if o.Device == (DeviceID{}) {
		o.Device = app.device()
	}
	if o.Label == "" {
		o.Label = app.label()
	}
}

// label is tag 50, sanitised for the display (scheme 3.5).
func (app *application) label() string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E {
			return -1
		}
		return r
	}, string(app.objects.value(0x50)))
}

func (app *application) digits() string { return fmt.Sprintf("%X", app.objects.value(0x9F25)) }
