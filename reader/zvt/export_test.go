package zvt

import "time"

// OpenQuick is Open with the protocol's times divided, for tests of what happens when they are over.
func OpenQuick(device string, o Options) (*Client, error) {
	const ms = time.Millisecond
	return open(device, o, times{ack: 150 * ms, done: 250 * ms, next: 600 * ms, store: 100 * ms, stop: 400 * ms, busy: 20 * ms, idle: 20 * ms})
}

// DecodeAll is what a line brings, cut into messages.
var DecodeAll = decodeAll
