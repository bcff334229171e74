package backend

import (
	"context"
	"fmt"

	"tapkeeper/uplink/wire"
	"tapkeeper/wallet/ledger"
)

// maxWarned bounds the terminals that are told of a blocked device at once: a
// signature and a publication for each, before the answer that waits behind them. The
// others hear of it with their next state.
const maxWarned = 200

// warn tells terminals of a device that was blocked just now. Those that have the
// version before take it; to the others their state brings what they lack, and so it
// does where this fails: the ledger has it.
func (s *Service) warn(ctx context.Context, c ledger.Change) []Publication {
	var terminals []ledger.Terminal
	err := s.ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		terminals, err = tx.Terminals(maxWarned)
		return err
	})
	if err != nil {
		return nil
	}
	var out []Publication
	for _, t := range terminals {
		to := wire.Address{Merchant: t.Merchant, Terminal: t.Terminal}
		list := wire.Hotlist{Exceptions: exceptions(c.Version-1, []ledger.Change{c}, wire.At(s.now()))}
		sealed, err := s.wire.Seal(to, wire.Header{ID: s.newID(), Time: s.now()}, list)
		if err != nil {
			return out
		}
		out = append(out, Publication{to.DownTopic(wire.KindHotlist), sealed})
	}
	return out
}

// state answers a terminal that is behind with the changes of the list of blocked
// devices, a message at a time: its next state asks for the rest. So a terminal
// knows of a blocked device within a heartbeat, and nobody has to remember whom
// the wallet has told.
func (s *Service) state(ctx context.Context, m *wire.Message, d wire.State) ([]Publication, error) {
	if !d.Online || d.Applied == nil {
		return nil, nil // a last will, or a terminal that takes no lists
	}
	var changes []ledger.Change
	err := s.ledger.View(ctx, func(tx *ledger.Tx) (err error) {
		changes, err = tx.Exceptions(d.Applied.Exceptions, wire.MaxExceptions)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list blocked devices: %w", err)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return s.answer(m, wire.Hotlist{Exceptions: exceptions(d.Applied.Exceptions, changes, wire.At(s.now()))})
}

// exceptions folds changes into one step: of a device only the last counts.
func exceptions(base uint64, changes []ledger.Change, at wire.Time) *wire.Exceptions {
	e := &wire.Exceptions{ListVersion: wire.ListVersion{Version: changes[len(changes)-1].Version, IssuedAt: at, Base: base}}
	last := map[[8]byte]uint64{}
	for _, c := range changes {
		last[c.Device] = c.Version
	}
	for _, c := range changes {
		switch id := fmt.Sprintf("%x", c.Device); {
		case last[c.Device] != c.Version:
		case c.Blocked:
			e.Added = append(e.Added, id)
		default:
			e.Removed = append(e.Removed, id)
		}
	}
	return e
}
