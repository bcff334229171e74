package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"tapkeeper/lane"
	"tapkeeper/queue/vault"
	"tapkeeper/till"
)

func newQueueRotate(s *shared) *cobra.Command {
	var file string
	var encrypt bool
	c := &cobra.Command{
		Use: "rotate-key", Short: "Give the journal a new master key, while the daemon works",
		Long: `Give the journal a new master key. Payments go on meanwhile. Cut off at any moment, one of the two
keys opens the journal, both are kept until it is known which, and the next start settles it.

A key in a file or in a TPM the daemon exchanges by itself. Of a credential, root brings the
next one: name the FILE that the unit loads, and --encrypt where it is LoadCredentialEncrypted=.
FILE.next is written first, and takes the place of FILE when the journal has the new key.`,
		Example: "  tapkeeper queue rotate-key\n  tapkeeper queue rotate-key --credential /etc/tapkeeper/keys/journal-master.cred --encrypt",
		Args:    positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			client := till.NewClient(s.socket)
			var k till.MasterKey
			var err error
			if file == "" {
				k, err = client.RotateKey(c.Context())
			} else {
				k, err = rotateCredential(c, client, file, encrypt)
			}
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(c.OutOrStdout(), k)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "the journal has a new master key (%s); keep a copy of it where this disk's loss does not take it\n", k.Source)
			return err
		},
	}
	c.Flags().StringVar(&file, "credential", "", "the file of a credential that the unit loads")
	c.Flags().BoolVar(&encrypt, "encrypt", false, "with --credential: the file is encrypted by systemd-creds")
	return c
}

// rotateCredential brings the next key to a daemon that cannot write its own: into
// the credential's file beside the present one, and in the daemon's folder in memory.
func rotateCredential(c *cobra.Command, client *till.Client, file string, encrypt bool) (till.MasterKey, error) {
	k, err := client.Key(c.Context())
	switch {
	case err != nil:
		return k, err
	case !k.ReadOnly:
		return k, usage(fmt.Errorf("the key is %s, which the daemon exchanges by itself: leave --credential away", k.Source))
	case k.UsesNext: // an exchange that was cut off before its last step
		return k, os.Rename(file+".next", file)
	case k.Handover == "":
		return k, &failure{exitConfig, errors.New("the daemon has no folder in memory"), "RuntimeDirectory=tapkeeper in the unit gives it one"}
	}
	next, err := vault.Random()
	if err != nil {
		return k, err
	}
	defer func() { _ = next.Close() }()
	if err := writeCredential(c, file, next, encrypt); err != nil {
		return k, err
	}
	if err := bring(k.Handover, next); err != nil {
		return k, err
	}
	if k, err = client.RotateKey(c.Context()); err != nil {
		return k, err
	}
	return k, os.Rename(file+".next", file)
}

// writeCredential writes FILE.next, as the unit loads it.
func writeCredential(c *cobra.Command, file string, next *vault.Key, encrypt bool) error {
	to := file + ".next"
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !encrypt {
		return vault.Write(to, next)
	}
	// Through a pipe, which holds it in the kernel: no file has the key in clear.
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }()
	err = next.Use(func(master []byte) error {
		text := make([]byte, hex.EncodedLen(len(master)))
		defer clear(text)
		hex.Encode(text, master)
		_, err := write.Write(text)
		return err
	})
	if err = errors.Join(err, write.Close()); err != nil {
		return err
	}
	// Without a name in it the same file serves as NAME.next and, renamed, as NAME.
	run := exec.CommandContext(c.Context(), "systemd-creds", "encrypt", "--name=", "-", to)
	var said bytes.Buffer
	run.Stdin, run.Stderr = read, &said
	if err := run.Run(); err != nil {
		return &failure{exitUnexpected, fmt.Errorf("systemd-creds: %w: %s", err, said.String()), "the journal still has its old key"}
	}
	return os.Chmod(to, 0o600)
}

// bring puts a key where the daemon, and nobody else, finds it.
func bring(path string, next *vault.Key) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := vault.Write(path, next); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, int(st.Uid), int(st.Gid))
	}
	return nil
}

func newQueueSeal() *cobra.Command {
	var from, to, config string
	c := &cobra.Command{
		Use: "seal-key --from FILE --to BLOB", Short: "Seal a master key to this machine's TPM",
		Long: `Seal the master key in FILE to this machine's TPM and to the PCRs in keys.tpm_pcrs, as they are
now. keys.journal_master = "tpm:BLOB" uses it then. Keep FILE elsewhere, off this machine: a TPM
that is cleared or replaced, and a change of firmware that changes a PCR, take the key with them.`,
		Example: "  tapkeeper queue seal-key --from /media/stick/journal-master --to /etc/tapkeeper/keys/journal-master.tpm",
		Args:    positional(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if from == "" || to == "" {
				return usage(errors.New("seal-key wants --from FILE and --to BLOB"))
			}
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			if err := lane.SealKey(cfg.Config, from, to); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "sealed; set keys.journal_master = \"tpm:%s\", and keep %s off this machine\n", to, from)
			return err
		},
	}
	c.Flags().StringVar(&from, "from", "", "a file with the key in hexadecimal, 0600")
	c.Flags().StringVar(&to, "to", "", "the file to write; it must not exist")
	return configFlag(c, &config)
}
