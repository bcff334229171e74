package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// play stays up, and does what is typed.
func play(ctx context.Context, s *store, in io.Reader, out io.Writer) error {
	fmt.Fprintf(out, `The store is open. In another terminal:

  export TAPKEEPER_SOCKET=%s
  export PATH=%s:$PATH
  tapkeeper pay 12.50 --order 1     (then type here: tap)
  tapkeeper show --order 1          (its id, for: tapkeeper show ID --trace)
  tapkeeper status | queue | recon

Type here:
  tap [li-lei|han-meimei]   hold a phone to the reader
  net off, net on           cut the network, heal it
  kill, start               kill -9 the daemon, start it again
  accounts, quit
`, s.Path("till.sock"), filepath.Dir(s.binary))
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(in); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				lines = nil // nobody types: stay up until a signal
				continue
			}
			words := strings.Fields(line)
			if slices.Equal(words, []string{"quit"}) {
				return nil
			}
			if err := s.obey(ctx, words, out); err != nil {
				fmt.Fprintln(out, "error:", err)
			}
		}
	}
}

// obey carries out one line.
func (s *store) obey(ctx context.Context, words []string, out io.Writer) error {
	switch strings.Join(words, " ") {
	case "":
		return nil
	case "net off":
		return s.Network.Refuse(true)
	case "net on":
		return s.Network.Refuse(false)
	case "kill":
		return s.daemon.Kill()
	case "start":
		return s.start(ctx)
	case "accounts":
		accounts, err := s.Ledger.Accounts(ctx)
		for _, a := range accounts {
			fmt.Fprintf(out, "%-20s %12s\n", a.ID, yuan(a.BalanceMinor))
		}
		return err
	}
	if words[0] != "tap" || len(words) > 2 {
		return fmt.Errorf("%q is not a command here", strings.Join(words, " "))
	}
	who := append(words[1:], liLei.ID)[0]
	c := s.Phones[who]
	if c == nil {
		return fmt.Errorf("nobody here is called %q", who)
	}
	s.Field.Remove()
	if err := s.Field.Present(c.Ready()); err != nil {
		return err
	}
	const held = 3 * time.Second
	time.AfterFunc(held, s.Field.Remove)
	fmt.Fprintf(out, "%s holds the phone to the reader for %s\n", c.Name, held)
	return nil
}

// rate pays many times with a phone that stays in the field, from the till's
// request to the wallet's receipt, and prints taps a second.
func (s *store) rate(ctx context.Context, taps int, out io.Writer) error {
	c := s.Phones[liLei.ID]
	if err := s.Field.Present(c.Ready()); err != nil {
		return err
	}
	defer s.Field.Remove()
	took := make([]time.Duration, 0, taps)
	began := time.Now()
	for i := range taps {
		c.Ready()
		start := time.Now()
		p, err := s.open(ctx, fmt.Sprintf("rate-%d", i), 1)
		if err == nil {
			p, err = s.outcome(ctx, p)
		}
		if err != nil {
			return err
		}
		if p.End != "PAID" {
			return fmt.Errorf("tap %d came to %s, %s", i, p.State, p.Settlement)
		}
		took = append(took, time.Since(start))
	}
	total := time.Since(began)
	slices.Sort(took)
	fmt.Fprintf(out, "%d taps, from the till's request to the wallet's receipt: %.1f taps/s, p50 %s, p99 %s\n", taps,
		float64(taps)/total.Seconds(), took[taps/2].Round(100*time.Microsecond), took[taps*99/100].Round(100*time.Microsecond))
	return nil
}
