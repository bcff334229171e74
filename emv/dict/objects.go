package dict

import (
	"fmt"

	"tapkeeper/emv/tlv"
)

// object is one object as Decode reads it. It is read more loosely than package
// tlv does for the kernel: 00 may stand between objects, any constructed tag is
// looked into, and a length may have three bytes (EMV book 3 annex B).
type object struct {
	tag   tlv.Tag
	at    int // of the tag
	start int // of the value
	value []byte
	loose bool // the length is longer than it had to be
}

func (o object) constructed() bool {
	first := uint32(o.tag)
	for first > 0xFF {
		first >>= 8
	}
	return first&0x20 != 0
}

// next reads the object at the start of b, which stands at byte at of the input.
func next(b []byte, at int) (object, int, error) {
	tag, n := tlv.Tag(b[0]), 1
	if b[0] == 0xFF {
		return object{}, 0, fmt.Errorf("byte %d: FF is no tag", at)
	}
	if b[0]&0x1F == 0x1F {
		for more := true; more; n++ {
			if n >= len(b) {
				return object{}, 0, fmt.Errorf("byte %d: the tag is cut short", at)
			}
			if n == 3 {
				return object{}, 0, fmt.Errorf("byte %d: the tag is longer than three bytes", at)
			}
			tag, more = tag<<8|tlv.Tag(b[n]), b[n]&0x80 != 0
		}
	}
	length, m, why := readLength(b[n:])
	if why != "" {
		return object{}, 0, fmt.Errorf("byte %d: the length of %v is %s", at, tag, why)
	}
	start := n + m
	if length > len(b)-start {
		return object{}, 0, fmt.Errorf("byte %d: %v wants a value of %d bytes, %d are left", at, tag, length, len(b)-start)
	}
	loose := m > 1 && length < 0x80 || m > 2 && length <= 0xFF || m > 3 && length <= 0xFFFF
	return object{tag, at, at + start, b[start : start+length], loose}, start + length, nil
}

// readLength returns the length and its size, or what is wrong with it.
func readLength(b []byte) (length, size int, why string) {
	if len(b) == 0 {
		return 0, 0, "missing"
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, ""
	}
	n := int(b[0] & 0x7F)
	if n == 0 || n > 3 {
		return 0, 0, fmt.Sprintf("%02X, which is none", b[0])
	}
	if len(b) <= n {
		return 0, 0, "cut short"
	}
	for _, c := range b[1 : 1+n] {
		length = length<<8 | int(c)
	}
	return length, 1 + n, ""
}

// objects reads objects until b ends.
func (d *decoder) objects(b []byte, at int) ([]Item, error) {
	var items []Item
	for from := 0; from < len(b); {
		if b[from] == 0x00 {
			n := 1
			for from+n < len(b) && b[from+n] == 0 {
				n++
			}
			items = append(items, Item{At: at + from, Length: n, Name: "padding"})
			from += n
			continue
		}
		o, n, err := next(b[from:], at+from)
		if err != nil {
			return nil, err
		}
		item, err := d.object(o)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		from += n
	}
	return items, nil
}

// object explains one object and what is in it.
func (d *decoder) object(o object) (Item, error) {
	row, known := d.find(o.tag)
	var item Item
	switch inside := o.constructed() && len(o.value) > 0 && d.depth < maxNesting; {
	case inside:
		if o.tag == 0xBF8B01 {
			d.foresee(o.value)
		}
		d.depth++
		kids, err := d.objects(o.value, o.start)
		d.depth--
		if err != nil && known {
			return Item{}, err
		}
		if item = (Item{Length: len(o.value), Name: row.Name, Items: kids}); err != nil {
			item = d.hidden(o.value, "holds something else than objects")
		}
	case !known:
		item = d.hidden(o.value, "")
	default:
		item = d.element(row, o.value, o.start)
	}
	item.At, item.Tag = o.at, o.tag.String()
	if !known {
		item.Name = "unknown"
	}
	if o.loose {
		item.Words = join(item.Words, "length not minimal")
	}
	return item, nil
}

// hidden is a value that nothing is known of: it is masked, and shown by Unmask
// only when no account number is seen in it.
func (d *decoder) hidden(value []byte, words string) Item {
	item := Item{Length: len(value), Words: words, Masked: len(value) > 0}
	if !item.Masked || !d.Unmask {
		return item
	}
	if looksLikePAN(value) {
		item.Words = join(words, "may hold an account number")
		return item
	}
	item.Value, item.Masked = hexOf(value), false
	return item
}

// element is the value of a known element under its sensitivity, with its meaning
// where that may be shown. The value starts at byte at.
func (d *decoder) element(row Element, value []byte, at int) Item {
	item := Item{At: at, Length: len(value), Name: row.Name}
	if row.Kernel == Scheme && row.Tag == 0x9F46 && len(value) != deviceCertificateSize {
		row.Log = Sealed // another scheme's certificate: see bookRows
	}
	if !row.Fits(value) {
		row = fitting(row, value)
		item.Name = row.Name
	}
	if !row.Fits(value) {
		item = d.hidden(value, "not the length or format of this element")
		item.Name = row.Name
		item.Masked = item.Masked || len(value) > 0 && row.Log == Sealed
		if row.Log == Sealed {
			item.Value = ""
		}
		return item
	}
	show := row.Log == Open || d.Unmask && row.Log != Sealed
	switch {
	case show:
		item.Value = hexOf(value)
	case row.Log == Masked && len(value) > 2:
		item.Value, item.Masked = hexOf(value[:2])+"..", true
	case len(value) > 0:
		item.Masked = true
	}
	words, items := d.explain(row, value, at, show)
	item.Words, item.Items = words, items
	if len(items) > 0 && row.form.holdsAll() { // its parts are shown one by one
		item.Value, item.Masked = "", false
	}
	return item
}

// fitting is the other kernel's row of the same tag if the value fits that one, as
// an AID without its padding does, and if that row hides no less.
func fitting(row Element, value []byte) Element {
	other, ok := FindIn(Book-row.Kernel, row.Tag)
	if ok && other.Fits(value) && (other.Log == row.Log || other.Log == Sealed) {
		return other
	}
	return row
}
