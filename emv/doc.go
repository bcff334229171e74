// Package emv is the payment kernel of the scheme (scheme 3, 5, 7.3, 8, 9.1): it
// selects an application of the phone, checks it, decides the tap, and writes the
// evidence record.
//
// It is pure: no I/O, no clock, no goroutine, no log. Begin starts a sale;
// Activate starts one field activation of it, which is a step machine: each Step
// is a command to send, a pending record to make durable, or the Outcome. A
// decline is an outcome; the kernel has no other errors than our own failures.
// What it must ask the world it asks through four one-method lookups.
//
// It promises that any bytes from a phone end in an outcome after a bounded
// number of steps, that nothing is asked of the wallet before its pending record
// was stored, and that no key, certificate or reference of a phone can be
// printed from its types. It refuses configurations that would let a failed
// authentication pay (Terminal.Validate).
//
// A caller drives one field activation like this, and stores what the outcome
// holds (Record, Seen, Reference, the end of the pending record unless
// KeepPending) in one commit before it tells anybody:
//
//	for step := x.Start(); step.Outcome == nil; {
//		switch {
//		case step.Store != nil: // durable first, with the offline limits reserved
//			step = x.Stored() // or CapReached
//		default: // step.Work may run meanwhile, and must have returned by now
//			answer, took, err := card.Transmit(ctx, step.Send.Bytes())
//			if err != nil {
//				step = x.Lost(took)
//			} else {
//				step = x.Answer(answer, took)
//			}
//		}
//	}
//
// The surface is larger than one screen because it carries the scheme's words:
// results, reasons, messages and their texts.
package emv
