// Package endtoend holds tests and benchmarks of a whole lane and a whole wallet
// with a real broker between them: what each room promises alone, they must keep
// together, while brokers die and lines fail. It has no code of its own.
package endtoend
