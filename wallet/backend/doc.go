// Package backend is the reference wallet: it issues cards, judges the evidence
// that terminals deliver (scheme 9.4), posts it into the ledger by payment id
// (terminal.md, "What the wallet posts") and answers with signed receipts.
//
// It promises that money is taken at most once for a payment id whatever is
// repeated, reordered or delayed; that a repeated message gets the very bytes
// that answered it first; and that a receipt leaves only after its posting is
// on disk. A refusal is an outcome with a reason of scheme section 10, never
// an error.
//
// It refuses to trust the uploader: amount, terminal, merchant and payment must
// be those that the phone signed. It knows no broker: Service.Handle turns one
// message into the messages that answer it, App does so for what a phone's own app
// uploads. A device that spent twice is blocked, and Prove lets anybody hold its
// two records against each other with the scheme's public key alone. Keys in files make it a reference,
// not a place for live money.
package backend
