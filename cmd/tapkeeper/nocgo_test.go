//go:build !cgo || nopcsc

package main

// hasPCSC: this binary cannot use PC/SC readers.
const hasPCSC = false
