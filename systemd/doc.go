// Package systemd holds the files that make the daemon a service on Linux: the
// unit, its user (sysusers.d) and its folders (tmpfiles.d). It has no code; its
// test lets systemd itself judge the unit, which must verify without a remark and
// stay under a fixed exposure. It refuses to be imported for anything.
package systemd
