package wire

import (
	"slices"
	"strings"
	"testing"

	"tapkeeper/uplink/wire/wiretest"
)

// beyond are the refusals that a JSON Schema cannot express: they compare two
// fields, count bytes, look at the text that the JSON was written in, or into a JWE.
var beyond = []string{"elsewhere", "subject", "another message", "order of ids", "above from", "first and last", "another payment",
	"duplicate", "UTF-8", `"data":{}} {}`, `"data":{},"data":{}`, "2026-02-30", `"record":"x`,
	"00009007199254740992", "1e3"}

// Every message that this package makes is as docs/wallet-link/schemas says, and
// nearly everything that it refuses is refused there too.
func TestSchemas(t *testing.T) {
	schemas, err := wiretest.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, data, seen := newParties(t), everyData(), map[string]bool{}
	for name, d := range data {
		raw, err := p.seal(headerFor(d), d)
		if err != nil {
			t.Fatal(err)
		}
		topic := till.DownTopic(d.Kind())
		if upDecoder(d.Kind()) != nil {
			topic = till.UpTopic(d.Kind())
		}
		if err := schemas.Publication(topic, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen[string(d.Kind())] = true
	}
	crl, err := wiretest.Signed([]byte(testRevocations))
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Payload("crl", crl); err != nil {
		t.Error(err)
	}
	seen["crl"] = true
	for _, kind := range schemas.Kinds() {
		if !seen[kind] {
			t.Errorf("schemas/%s.json: no example", kind)
		}
	}
	refused := 0
	for _, e := range edits {
		kind := string(data[e.data].Kind())
		payload := strings.Replace(payloadOf(t, p, data[e.data]), e.old, e.new, 1)
		excused := slices.ContainsFunc(beyond, func(b string) bool { return strings.Contains(e.want, b) || strings.Contains(e.new, b) })
		switch err := schemas.Payload(kind, []byte(payload)); {
		case e.want == "" || excused:
			// An accepted one may have unnamed fields, which wiretest forbids.
		case err == nil:
			t.Errorf("%s with %s: valid by the schema, refused here (%s)", e.data, e.new, e.want)
		default:
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("only %d refusals are the schemas' too", refused)
	}
}
