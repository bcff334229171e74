//go:build cgo && !nopcsc

package main

// hasPCSC: this binary can use PC/SC readers. Asking package pcsc would load
// the socket's name into libpcsclite, which reads it once in a process.
const hasPCSC = true
