// Package phone is the phone of the TapKeeper scheme: the applet that a
// reader talks to (scheme sections 2 to 7, from the phone's side) and the
// little of the wallet app that the applet depends on, which is the list of
// cards, the user's unlock and the exchange of an allowance grant.
//
// A Wallet is a phone in software. PowerOn, PowerOff and Transmit let any
// virtual reader carry it. It promises that an answer to GENERATE AC leaves
// only after the store has taken the new state, that one transaction id is
// debited at most once, and that any bytes get an answer of at least two bytes
// in bounded time.
//
// It refuses to be a safe place for keys. Profile and the wallet file hold a
// card's private keys in the clear, because this is a test double; keep the
// file as secret as the money behind it. The keys cannot be printed with fmt
// or with encoding/json by accident: only EncodeProfile and SaveFile write them.
package phone
