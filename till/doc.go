// Package till is what a cashier program, a cashier and a technician talk to:
// an HTTP/JSON API on a unix socket, and its client.
//
// It promises that a lost answer can always be asked for again, that a decline
// is a state and never an HTTP error, and that every refusal says in its code
// what to do next. It decides nothing about money: it asks package terminal.
package till
