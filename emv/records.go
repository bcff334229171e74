package emv

import (
	"errors"
	"fmt"
	"time"

	"tapkeeper/emv/apdu"
	"tapkeeper/emv/channel"
	"tapkeeper/emv/dict"
	"tapkeeper/emv/tlv"
)

// readLimit is the wait for READ RECORD (scheme 5.9).
const readLimit = 1000 * time.Millisecond

// aflRecord is one record to read.
type aflRecord struct {
	sfi, number byte
	signed      bool
}

// Limits of an AFL (scheme 4.3).
const (
	maxSFI     = 10
	maxNumber  = 16
	maxRecords = 16
)

// parseAFL reads tag 94, whose length the dictionary has checked.
func parseAFL(afl []byte) ([]aflRecord, error) {
	var list []aflRecord
	for ; len(afl) >= 4; afl = afl[4:] {
		sfi, first, last, signed := afl[0]>>3, afl[1], afl[2], afl[3]
		if afl[0]&0x07 != 0 || sfi < 1 || sfi > maxSFI || first < 1 || last < first || last > maxNumber || last-first+1 < signed {
			return nil, errors.New("AFL entry out of range")
		}
		for n := first; n <= last; n++ {
			list = append(list, aflRecord{sfi: sfi, number: n, signed: n-first < signed})
		}
	}
	if len(list) > maxRecords {
		return nil, errors.New("AFL with too many records")
	}
	return list, nil
}

// readNext reads the next record, or goes on to the decision when all are read
// (scheme 5.3 S5).
func (x *activation) readNext() Step {
	app := x.app
	if len(app.afl) == 0 {
		return x.decide()
	}
	r := app.afl[0]
	app.afl = app.afl[1:]
	return x.send(&exchange{
		name: "READ RECORD", command: apdu.ReadRecord(r.sfi, r.number), limit: readLimit,
		done: func(sw apdu.SW, data []byte) Step {
			if sw != apdu.OK {
				return x.final(malformed(fmt.Sprintf("READ RECORD %d.%d: SW %v", r.sfi, r.number, sw)))
			}
			if err := app.record(r, data); err != nil {
				return x.final(malformed(fmt.Sprintf("READ RECORD %d.%d: %v", r.sfi, r.number, err)))
			}
			x.work = append(x.work, x.prepare(app)...)
			return x.readNext()
		},
		over: func() Step { return x.final(malformed("READ RECORD: answer too long")) },
	})
}

// record takes in one record (scheme 4.3).
func (app *application) record(r aflRecord, answer []byte) error {
	root, err := tlv.ParseOne(answer)
	if err != nil {
		return err
	}
	contents, nodes := root.Value, root.Kids
	switch root.Tag {
	case 0x70:
	case 0xDA:
		contents = channel.CTR(app.channel.get().SKc, app.counter, root.Value)
		app.counter++
		if nodes, err = tlv.ParseInside(contents); err != nil {
			return err
		}
	default:
		return fmt.Errorf("template %v", root.Tag)
	}
	if err := app.objects.take(nodes, origin{source: dict.FromRecord, signed: r.signed, plain: root.Tag == 0x70}); err != nil {
		return err
	}
	if r.signed {
		app.signed = append(app.signed, contents...)
	}
	return nil
}
