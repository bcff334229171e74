package phone

import (
	"errors"
	"fmt"
	"os"
)

// Open makes a wallet from a wallet file and keeps its state there; o.Store must
// be nil. The file belongs to the wallet from then on: when another program
// replaces it, taps are refused, because two wallets with the same cards would
// spend the same allowance twice.
func Open(path string, o Options) (*Wallet, error) {
	if o.Store != nil {
		return nil, errors.New("phone: Options.Store: the file is the store")
	}
	f, info, err := load(path)
	if err != nil {
		return nil, err
	}
	o.Store = &fileStore{path: path, cards: f.Cards, last: info}
	return New(f.Cards, f.State, o)
}

// fileStore keeps the state in a wallet file. The wallet's lock guards it. When
// a save fails after the rename, nobody knows what a power cut would leave; the
// file is then not the one this store left, so it refuses all later saves and
// the wallet must be opened again.
type fileStore struct {
	path  string
	cards []Profile
	last  os.FileInfo // the file as this store left it
}

func (s *fileStore) Save(state State) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, s.last) || !info.ModTime().Equal(s.last.ModTime()) {
		return fmt.Errorf("phone: wallet file %s: changed by another program", s.path)
	}
	if err := SaveFile(s.path, File{s.cards, state}); err != nil {
		return err
	}
	s.last, err = os.Stat(s.path)
	return err
}
