// Package vault keeps the journal's master key: where it comes from, how it is
// exchanged for the next one, and the pages of memory that it lives in.
//
// A key comes from a file that nobody else may read, from a credential of systemd,
// or out of a TPM 2.0 that gives it away only while the machine is in the state it
// was sealed to, and that counts for us: a number that nobody can put back tells an
// old copy from a new one. Its bytes are read straight into memory that is locked, that no core
// file holds, and that is wiped when it is closed; between two uses nobody can
// read it. A Key cannot be printed.
//
// The package refuses a key that others could have read or put there, and says
// which file it is and how to mend it. It knows nothing of journals.
package vault
