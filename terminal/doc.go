// Package terminal is the life of one payment: from the amount that a till
// keyed to the wallet's signed receipt, through network drops and crashes.
//
// It promises that nothing is told before it is durable, that a payment ends
// exactly once, that an outcome nobody knows is bounded in time and then
// reversed, and that the offline limits are reserved before a phone can spend.
//
// It drives the kernel of package emv over a Field, keeps everything in a
// Journal and speaks to the wallet through a Wallet; it opens no file, no
// socket and no reader itself. It refuses to guess: what it cannot keep, it
// refuses before the phone is read.
package terminal
