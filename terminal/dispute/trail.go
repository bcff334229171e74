package dispute

// Limits of the events of others that a file shows in one run. Above them the
// chain is written in two segments: what Verify makes of the gap depends on
// whether an event of the payment lies behind it.
const (
	maxBetween = 150_000 // within the payment's life: a month of a busy shop
	maxTail    = 4_096   // between its last event and the export: a day
)

// Trail writes the chain of a file, event by event in the order of the journal.
type Trail struct {
	segments []Segment
	others   []byte // since the last event of the payment
	dropped  bool
}

// Own adds an event of the payment; prev is the point before it. Audit says that
// it changed nothing.
func (t *Trail) Own(prev Point, payload, changes []byte, audit bool) {
	limit := maxBetween
	if audit {
		limit = maxTail
	}
	if len(t.segments) == 0 || t.dropped || len(t.others) > limit*pairSize {
		t.segments = append(t.segments, Segment{Anchor: prev})
	} else if len(t.others) > 0 {
		t.add(Link{Others: t.others})
	}
	t.others, t.dropped = nil, false
	t.add(Link{Event: payload, Changes: changes})
}

// Other adds an event of somebody else.
func (t *Trail) Other(payload, changes []byte) {
	if len(t.others) >= (maxBetween+1)*pairSize {
		t.dropped = true
		return
	}
	t.others = append(append(t.others, sha(payload)...), sha(changes)...)
}

// Segments is the chain up to the last event of the payment.
func (t *Trail) Segments() []Segment { return t.segments }

func (t *Trail) add(l Link) {
	s := &t.segments[len(t.segments)-1]
	s.Links = append(s.Links, l)
}
