package wire

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"tapkeeper/uplink/wire/wiretest"
)

// The examples of docs/wallet-link.md are read by the same code as messages, and
// show no field that the code does not know.
func TestExamplesOfTheContract(t *testing.T) {
	page, err := os.ReadFile("../../docs/wallet-link.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Kind]bool{}
	example := regexp.MustCompile("(?s)<!-- data: ([a-z_]+) -->\n```json\n(.*?)```")
	stub := func(ID, string) (Record, error) { return NewRecord([]byte("record")), nil }
	for _, m := range example.FindAllStringSubmatch(string(page), -1) {
		kind := Kind(m[1])
		d := upDecoder(kind)
		if d == nil {
			d = downDecoder(kind)
		}
		if d == nil {
			t.Errorf("%s: no such kind", kind)
			continue
		}
		data, err := d([]byte(strings.TrimSpace(m[2])), stub)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		seen[kind] = true
		exampleBySchema(t, kind, m[2])
		var shown, known map[string]any
		back, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(m[2]), &shown); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(back, &known); err != nil {
			t.Fatal(err)
		}
		delete(shown, "record") // sealed apart
		for field := range shown {
			if _, ok := known[field]; !ok {
				t.Errorf("%s: the page shows %s", kind, field)
			}
		}
		for field := range known {
			if _, ok := shown[field]; !ok {
				t.Errorf("%s: the page does not show %s", kind, field)
			}
		}
	}
	for _, k := range []Kind{KindAdvice, KindReversal, KindRefund, KindQuery, KindReconciliation, KindEcho, KindState,
		KindReceipt, KindStatus, KindReconciliationAnswer, KindEchoAnswer, KindConfig, KindHotlist, KindCommand} {
		if !seen[k] {
			t.Errorf("%s: no example", k)
		}
	}
}

// exampleBySchema holds an example's data against the kind's schema, in the
// envelope of a good message. What the page shortens is put in.
func exampleBySchema(t *testing.T, kind Kind, data string) {
	t.Helper()
	schemas, err := wiretest.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, whole := newParties(t), everyData()
	var good map[string]any
	if err := json.Unmarshal([]byte(payloadOf(t, p, whole[strings.ReplaceAll(string(kind), "_", "-")])), &good); err != nil {
		t.Fatal(err)
	}
	shown := map[string]any{}
	if err := json.Unmarshal([]byte(data), &shown); err != nil {
		t.Fatal(err)
	}
	for _, long := range []string{"record", "revocations"} {
		if shown[long] != nil {
			shown[long] = good["data"].(map[string]any)[long]
		}
	}
	good["data"] = shown
	payload, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Payload(string(kind), payload); err != nil {
		t.Errorf("example: %v", err)
	}
}
