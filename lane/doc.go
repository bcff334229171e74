// Package lane joins the rooms into one running lane: a reader, a kernel, a
// journal and a wallet link around package terminal.
//
// It promises that a lane is opened whole or not at all, with an error that
// names the setting or the part, and that it stops in bounded time. It holds
// adapters between the rooms' interfaces and no rule about money.
package lane
