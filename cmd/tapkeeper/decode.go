package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tapkeeper/emv"
	"tapkeeper/emv/dict"
)

// decodeFlags are the flags of decode.
type decodeFlags struct {
	as, after, dol string
	emv, unmask    bool
}

func newDecode(s *shared) *cobra.Command {
	var f decodeFlags
	c := &cobra.Command{
		Use: "decode HEX... | -", Short: "Explain the bytes of a tap in words",
		Long: `Explain TLV, DOL, TVR, TSI, AIP, AFL, CVM, CID, IAD, status words, ATR, APDUs,
and the scheme's certificates, grants and evidence records, with the position of
each part. Several arguments are one input; - reads it from the standard input.

What is not known to be harmless is masked. --unmask shows it, but never a whole
account number (the first six and last four digits), a track, a name or a PIN.`,
		Example: "  tapkeeper decode 95 05 00 00 00 80 00\n  tapkeeper decode --as tvr --emv 8000008000\n  tapkeeper decode --after 80EA00000401020304 800A010203040010002000159000",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			input := strings.Join(args, " ")
			if len(args) == 1 && args[0] == "-" {
				var err error
				if input, err = readHex(c.InOrStdin()); err != nil {
					return err
				}
			}
			report, err := decode(input, f)
			if err != nil {
				return &failure{exitUsage, err, "name the kind with --as, one of " + strings.Join(dict.Kinds(), ", ")}
			}
			return printReport(c.OutOrStdout(), report, s.json)
		},
	}
	c.Flags().StringVar(&f.as, "as", "", "the kind of input: "+strings.Join(dict.Kinds(), ", ")+" (default: guess)")
	c.Flags().BoolVar(&f.emv, "emv", false, "read by the EMV books where they differ from the scheme")
	c.Flags().BoolVar(&f.unmask, "unmask", false, "show what is masked, but for the cardholder's data")
	c.Flags().StringVar(&f.after, "after", "", "the C-APDU that an R-APDU answers, in hex")
	c.Flags().StringVar(&f.dol, "dol", "", "the list that the data of a C-APDU was made for, in hex")
	return c
}

func decode(input string, f decodeFlags) (dict.Report, error) {
	b, err := parseHex(input)
	if err != nil {
		return dict.Report{}, err
	}
	o := dict.Options{Kind: dict.Kind(f.as), Unmask: f.unmask, Reason: reasonWords}
	if f.emv {
		o.Kernel = dict.Book
	}
	if o.Command, err = parseHex(f.after); err != nil {
		return dict.Report{}, fmt.Errorf("--after: %w", err)
	}
	if o.List, err = parseHex(f.dol); err != nil {
		return dict.Report{}, fmt.Errorf("--dol: %w", err)
	}
	return dict.Decode(b, o)
}

// reasonWords are the English words of scheme 10.
func reasonWords(b byte) string { return emv.Reason(b).Text(emv.English) }

// maxText is room for MaxInput in hex with a separator after each digit.
const maxText = 4 * dict.MaxInput

func readHex(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the standard input: %w", err)
	case len(b) > maxText:
		return "", usage(fmt.Errorf("more than %d characters on the standard input", maxText))
	}
	return string(b), nil
}

// parseHex reads hex digits of either case; white space and colons may stand
// between them. It returns nil for an empty text.
func parseHex(s string) ([]byte, error) {
	var b []byte
	var high byte
	digits := 0
	for at, r := range s {
		var v byte
		switch {
		case r >= '0' && r <= '9':
			v = byte(r - '0')
		case r >= 'a' && r <= 'f':
			v = byte(r-'a') + 10
		case r >= 'A' && r <= 'F':
			v = byte(r-'A') + 10
		case strings.ContainsRune(" \t\r\n:", r):
			continue
		default:
			return nil, fmt.Errorf("character %d is no hexadecimal digit", at+1)
		}
		if digits%2 == 1 {
			b = append(b, high<<4|v)
		}
		high = v
		digits++
	}
	if digits%2 == 1 {
		return nil, errors.New("an odd number of hexadecimal digits: half of the last byte is missing")
	}
	return b, nil
}

func printReport(w io.Writer, r dict.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	for _, line := range r.Lines() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
