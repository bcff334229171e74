package wire

import (
	"errors"
	"strings"
	"testing"
)

// edit replaces one piece of a good payload; it must be there.
type edit struct {
	data     string // name in everyData
	old, new string
	want     string // in the error; empty: accepted
}

var edits = []edit{
	// Forward compatibility: unknown fields are ignored, unknown types refused.
	{"query", `{"specversion"`, `{"future":{"a":[1]},"specversion"`, ""},
	{"query", `"data":{`, `"data":{"future":1,`, ""},
	{"query", "tapkeeper.query.v1", "tapkeeper.query.v2", "unknown message type"},
	{"query", "tapkeeper.query.v1", "com.example.query.v1", "unknown message type"},
	{"query", "tapkeeper.query.v1", "tapkeeper.receipt.v1", "elsewhere"},
	// Envelope.
	{"query", `"specversion":"1.0"`, `"specversion":"0.3"`, "specversion"},
	{"query", `"specversion":"1.0",`, ``, "specversion"},
	{"query", `"datacontenttype":"application/json"`, `"datacontenttype":"text/xml"`, "datacontenttype"},
	{"query", `"id":"0190a5d4-0000-7000-8000-000000000009",`, ``, "no id"},
	{"query", `"id":"0190a5d4-0000-7000-8000-000000000009"`, `"id":"0190A5D4-0000-7000-8000-000000000009"`, "UUID"},
	{"query", `"id":"0190a5d4-0000-7000-8000-000000000009"`, `"id":"00000000-0000-0000-0000-000000000000"`, "nil UUID"},
	{"query", `"id":"0190a5d4-0000-7000-8000-000000000009"`, `"id":"0190a5d4000070008000000000000009"`, "UUID"},
	{"query", `"id":"0190a5d4-0000-7000-8000-000000000009"`, `"id":7`, "envelope"},
	{"query", `"time":"2026-11-24T09:30:00.120Z"`, `"time":"2026-11-24T17:30:00.120+08:00"`, "UTC"},
	{"query", `"time":"2026-11-24T09:30:00.120Z",`, ``, "no time"},
	{"query", `"time":"2026-11-24T09:30:00.120Z"`, `"time":null`, "UTC"},
	{"query", `"subject":"0190a5d4-0000-7000-8000-000000000001"`, `"subject":"0190a5d4-0000-7000-8000-000000000002"`, "subject"},
	{"query", `"subject":"0190a5d4-0000-7000-8000-000000000001",`, ``, "subject"},
	{"query", `"data":{`, `"data":[`, "envelope"},
	{"echo", `"data":{}`, `"data":[]`, "not an object"},
	{"echo", `"data":{}`, `"data":null`, "not an object"},
	{"echo", `,"data":{}`, ``, "not an object"},
	{"echo", `"data":{}}`, `"data":{}} {}`, "envelope"},
	{"echo", `"data":{}`, `"data":{},"data":{}`, "envelope"},
	{"echo", `"data":{}`, `"data":{"a":"` + "\xff" + `"}`, "UTF-8"},
	{"echo", `"source"`, `"audience":"/tapkeeper/noodle-bar/till-1","source"`, "elsewhere"},
	{"receipt", `"audience":"/tapkeeper/noodle-bar/till-1",`, ``, "elsewhere"},
	{"advice", `"sequence":"00000000000000000041",`, ``, "sequence"},
	{"advice", `"sequence":"00000000000000000041"`, `"sequence":"41"`, "sequence"},
	{"advice", `"sequence":"00000000000000000041"`, `"sequence":"00009007199254740992"`, "sequence"},
	{"advice", `"sequence":"00000000000000000041"`, `"sequence":"99999999999999999999"`, "sequence"},
	{"advice", `"sequence":"00000000000000000041"`, `"sequence":41`, "envelope"},
	// Money messages.
	{"advice", `"amount_minor":1250`, `"amount_minor":0`, "amount_minor"},
	{"advice", `"amount_minor":1250`, `"amount_minor":-1`, "amount_minor"},
	{"advice", `"amount_minor":1250`, `"amount_minor":999999999999`, ""},
	{"advice", `"amount_minor":1250`, `"amount_minor":1000000000000`, "amount_minor"},
	{"advice", `"amount_minor":1250`, `"amount_minor":1e3`, "1e3"},
	{"advice", `"amount_minor":1250`, `"amount_minor":12.5`, "12.5"},
	{"advice", `"amount_minor":1250`, `"amount_minor":"1250"`, "string"},
	{"advice", `"amount_minor":1250`, `"amount_minor":1250,"amount_minor":1`, "duplicate"},
	{"advice", `"amount_minor":1250`, `"Amount_Minor":1250`, "amount_minor"},
	{"advice", `"currency":"CNY"`, `"currency":"cny"`, "currency"},
	{"advice", `"currency":"CNY"`, `"currency":"CNYX"`, "currency"},
	{"advice", `"business_day":"2026-11-24"`, `"business_day":"2026-02-30"`, "business_day"},
	{"advice", `"business_day":"2026-11-24"`, `"business_day":"2026-1-1"`, "business_day"},
	{"advice", `"order_ref":"order 17"`, `"order_ref":""`, "order_ref"},
	{"advice", `"order_ref":"order 17"`, `"order_ref":"a\nb"`, "order_ref"},
	{"advice", `"order_ref":"order 17"`, `"order_ref":"外卖 17"`, ""},
	{"advice", `"order_ref":"order 17"`, `"order_ref":"` + strings.Repeat("x", MaxOrderRef+1) + `"`, "order_ref"},
	{"advice", `"kind":"01"`, `"kind":"02"`, "kind"},
	{"advice", `"kind":"01"`, `"kind":"07"`, "01 to 06"},
	{"advice", `"kind":"01",`, ``, "record"},
	{"advice", `"record":"`, `"record":"x`, "record"},
	{"advice", `"record":"`, `"ignored":"`, "record"},
	{"advice", `"payment_id":"0190a5d4-0000-7000-8000-000000000001"`, `"payment_id":"0190a5d4-0000-7000-8000-000000000002"`, "another message"},
	{"reversal-by-id", `"abandoned":["`, `"abandoned":["00`, "40 lower-case"},
	{"reversal-by-id", `"abandoned":["`, `"abandoned":[` + strings.Repeat(`"`+strings.Repeat("0", 40)+`",`, MaxAbandoned) + `"`, "abandoned"},
	{"refund-by-id", `,"refund_id":"0190a5d4-0000-7000-8000-000000000003"`, ``, "refund_id"},
	{"state", `"session":7`, `"session":0`, "session"},
	{"state", `"version":"1.0.0"`, `"version":""`, "version"},
	// Reconciliation.
	{"reconciliation", `"count":1`, `"count":-1`, "count"},
	{"reconciliation", `"hash":"`, `"nohash":"`, "hash"},
	{"reconciliation", `"refunds":`, `"returns":`, "hash"},
	{"reconciliation", `"head":{"sequence":40`, `"head":{"sequence":0`, "head"},
	{"reconciliation-ranges", `"of":"refunds"`, `"of":"fees"`, "payments or refunds"},
	{"reconciliation-ranges", `"to":"0190a5d4-0000-7000-8000-000000000003"`, `"to":"0190a5d4-0000-7000-8000-000000000001"`, "above from"},
	{"reconciliation-ranges", `"through":163`, `"through":9007199254740992`, "through"},
	{"reconciliation-answer", `"state":"paid"`, `"state":"taken"`, "state"},
	{"reconciliation-answer", `"state":"paid"`, `"state":"refunded"`, "state"},
	{"reconciliation-answer", `,{"match":false`, `,{"match":true`, "match"},
	{"reconciliation-answer", `000000000001","amount_minor":1250`, `000000000003","amount_minor":1250`, "order of ids"},
	{"reconciliation-answer", `000000000002","amount_minor":99`, `000000000001","amount_minor":99`, "order of ids"},
	{"reconciliation-answer", `"first":4`, `"first":161`, "first and last"},
	{"echo-head", `"known":{"sequence":40`, `"known":{"sequence":0`, "head"},
	// Answers.
	{"receipt", `"result":"accepted"`, `"result":"maybe"`, "result"},
	{"receipt", `"result":"accepted"`, `"result":"refused"`, "reason"},
	{"receipt", `"reason":"00"`, `"reason":"02"`, "reason"},
	{"receipt-refused", `"reason":"09"`, `"reason":"9"`, "hex"},
	{"receipt-refused", `"reason":"09"`, `"reason":"0a"`, "upper-case"},
	{"receipt-refused", `"reason":"09"`, `"reason":"FE"`, ""},
	{"receipt", `"state":"taken"`, `"state":"gone"`, "state"},
	{"receipt", `"sequence":41`, `"sequence":0`, "sequence"},
	{"receipt", `"answers":"0190a5d4-0000-7000-8000-000000000009",`, ``, "answers"},
	{"receipt", `"answers_sha256":"`, `"nothing":"`, "answers_sha256"},
	{"receipt", `"wallet_ref":"W-1"`, `"wallet_ref":""`, "wallet_ref"},
	{"status", `"receipt":{`, `"receipt":{"result":"accepted",`, "duplicate"},
	{"status", `"payment_id":"0190a5d4-0000-7000-8000-000000000001","sequence"`, `"payment_id":"0190a5d4-0000-7000-8000-000000000002","sequence"`, "another payment"},
}

func TestStrictness(t *testing.T) {
	p := newParties(t)
	data := everyData()
	for _, e := range edits {
		d := data[e.data]
		payload := payloadOf(t, p, d)
		if !strings.Contains(payload, e.old) {
			t.Fatalf("%s has no %s: %s", e.data, e.old, payload)
		}
		k := testEd25519(1)
		if downDecoder(d.Kind()) != nil {
			k = testEd25519(2)
		}
		m, err := p.open(d.Kind(), forge(k, goodHeader(k), strings.Replace(payload, e.old, e.new, 1)))
		if e.want == "" {
			if err != nil {
				t.Errorf("%s with %s: %v", e.data, e.new, err)
			}
			continue
		}
		if m != nil || err == nil || !strings.Contains(err.Error(), e.want) {
			t.Errorf("%s with %s: %v, want %q", e.data, e.new, err, e.want)
		}
	}
}

// Bad data in a genuine message can be answered: for ever resent is worse.
func TestDataErrorCanBeAnswered(t *testing.T) {
	p := newParties(t)
	k := testEd25519(1)
	payload := strings.Replace(payloadOf(t, p, Advice{payment(1)}), `"amount_minor":1250`, `"amount_minor":0`, 1)
	raw := forge(k, goodHeader(k), payload)
	_, err := p.wallet.Open(till.UpTopic(KindAdvice), raw)
	var bad *DataError
	if !errors.As(err, &bad) {
		t.Fatalf("got %v", err)
	}
	if bad.PaymentID != testID(1) || bad.Message.Sequence != 41 || bad.Message.Data != nil {
		t.Fatalf("%+v", bad)
	}
	answer, err := p.wallet.Seal(bad.Message.Terminal, headerFor(Receipt{}), Receipt{Answer: bad.Message.Reply(),
		PaymentID: bad.PaymentID, Sequence: bad.Message.Sequence, Result: Refused, State: StateUnknown, Reason: 0x2A, WalletRef: "none"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.terminal.Open(till.DownTopic(KindReceipt), answer)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := Answers(m.Data); !ok || a.AnswersSHA256 != DigestOf(raw) {
		t.Error("the refusal does not name the message")
	}
	unknown := strings.ReplaceAll(payloadOf(t, p, everyData()["query"]), "tapkeeper.query.v1", "tapkeeper.invoice.v1")
	_, err = p.wallet.Open(till.UpTopic("invoice"), forge(k, goodHeader(k), unknown))
	if !errors.Is(err, ErrUnknownType) || !errors.As(err, &bad) || bad.PaymentID != testID(1) {
		t.Errorf("unknown type: %v", err)
	}
}

// A sealed record belongs to one payment of one terminal, and to one key.
func TestRecordCannotMove(t *testing.T) {
	p := newParties(t)
	to := p.wallet.decrypt.Public()
	good, err := sealRecord(to, till, testID(1), NewRecord([]byte("r")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openRecord(p.wallet.decrypt, till, testID(1), good); err != nil {
		t.Fatal(err)
	}
	if _, err := openRecord(p.wallet.decrypt, other, testID(1), good); err == nil {
		t.Error("opens for another terminal")
	}
	if _, err := openRecord(p.wallet.decrypt, till, testID(2), good); err == nil {
		t.Error("opens for another payment")
	}
	for i := range good {
		c := byte('A')
		if good[i] == 'A' {
			c = 'B'
		}
		if _, err := openRecord(p.wallet.decrypt, till, testID(1), good[:i]+string(c)+good[i+1:]); err == nil {
			t.Fatalf("opens with character %d changed", i)
		}
	}
}
