package pcsc

import (
	"errors"
	"fmt"

	"tapkeeper/reader"
)

// code is an error code of PC/SC.
type code uint32

// The codes that were seen, or that pcsc-lite's source can return to the calls made here.
const (
	codeCancelled         code = 0x80100002
	codeInvalidHandle     code = 0x80100003
	codeUnknownReader     code = 0x80100009
	codeTimeout           code = 0x8010000A
	codeSharing           code = 0x8010000B
	codeNoSmartcard       code = 0x8010000C
	codeProtoMismatch     code = 0x8010000F
	codeInvalidValue      code = 0x80100011
	codeCommError         code = 0x80100013
	codeNotTransacted     code = 0x80100016
	codeReaderUnavailable code = 0x80100017
	codeNoService         code = 0x8010001D
	codeServiceStopped    code = 0x8010001E
	codeNoReaders         code = 0x8010002E
	codeNoAccess          code = 0x80100027
	codeUnsupported       code = 0x80100065
	codeUnresponsive      code = 0x80100066
	codeUnpowered         code = 0x80100067
	codeReset             code = 0x80100068
	codeRemoved           code = 0x80100069
	codeSecurity          code = 0x8010006A
)

// reason is what a code means to this package.
type reason int

const (
	none        reason = iota // no error
	other                     // a code that means nothing here
	idle                      // a wait ended without an event
	cancelled                 // a wait was ended
	noReaders                 // there is no reader at all
	serviceLost               // the context is dead for ever
	readerLost                // the handle is dead, the context lives
	cardLost                  // the card is gone, was reset, or answers no more
	cardMute                  // something is there, and does not answer to power
	held                      // another program has the reader or card for itself
	denied                    // polkit does not let this user use the card, or pcscd is ending
)

var reasons = map[code]reason{
	codeTimeout:   idle,
	codeCancelled: cancelled,
	codeNoReaders: noReaders,

	codeCommError:      serviceLost, // what a blocked call gets when pcscd ends
	codeNoService:      serviceLost, // what all later calls get; also no pcscd, no permission
	codeServiceStopped: serviceLost,
	codeInvalidHandle:  serviceLost, // also a Cancel that meets a timeout, before pcsc-lite 2.0.1

	codeReaderUnavailable: readerLost, // first call after an unplug
	codeInvalidValue:      readerLost, // all later ones, also after the replug
	codeUnknownReader:     readerLost, // gone between the list and the call

	codeNotTransacted: cardLost, // no answer from the field
	codeNoSmartcard:   cardLost, // the driver has noticed
	codeRemoved:       cardLost, // pcscd has noticed
	codeReset:         cardLost, // another program has reset it: the activation is not ours any more
	codeProtoMismatch: cardLost, // the reader was away for a moment

	codeUnresponsive: cardMute,
	codeUnpowered:    cardMute,
	codeUnsupported:  cardMute,

	codeSharing: held,

	codeSecurity: denied,
	codeNoAccess: denied,
}

// why is the reason behind an error of system, link or handle.
func why(err error) reason {
	if err == nil {
		return none
	}
	var c code
	if errors.As(err, &c) {
		if r, ok := reasons[c]; ok {
			return r
		}
	}
	return other
}

var names = map[code]string{
	codeCancelled: "cancelled", codeInvalidHandle: "invalid handle", codeUnknownReader: "unknown reader",
	codeTimeout: "timeout", codeSharing: "sharing violation", codeNoSmartcard: "no smart card",
	codeProtoMismatch: "protocol mismatch", codeInvalidValue: "invalid value", codeCommError: "communication with pcscd",
	codeNotTransacted: "not transacted", codeReaderUnavailable: "reader unavailable", codeNoService: "no service",
	codeServiceStopped: "service stopped", codeNoReaders: "no readers", codeUnsupported: "unsupported card",
	codeUnresponsive: "unresponsive card", codeUnpowered: "unpowered card", codeReset: "card was reset",
	codeRemoved: "card removed", codeNoAccess: "access denied", codeSecurity: "not allowed by polkit",
	0x80100001: "internal error", 0x80100004: "invalid parameter", 0x80100006: "no memory", 0x80100008: "buffer too small",
	0x8010000D: "unknown card", 0x80100010: "not ready", 0x80100014: "unknown error", 0x80100015: "invalid ATR",
	0x8010001F: "not supported", 0x80100022: "unsupported feature",
}

// Error has the number too, because that is what people search for.
func (c code) Error() string {
	name, ok := names[c]
	if !ok {
		name = "error"
	}
	return fmt.Sprintf("PC/SC: %s (0x%08X)", name, uint32(c))
}

// outward adds the sentinel of package reader that a caller acts on, one of three; everything else is unexpected, with
// its number and words.
func outward(err error) error {
	switch why(err) {
	case serviceLost, readerLost, denied:
		return fmt.Errorf("%w: %w", reader.ErrReaderGone, err)
	case cardLost, cardMute:
		return fmt.Errorf("%w: %w", reader.ErrCardGone, err)
	case held:
		return fmt.Errorf("%w: %w", reader.ErrBusy, err)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("unexpected: %w", err)
}
