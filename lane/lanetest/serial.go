package lanetest

import (
	"tapkeeper/reader/readertest/line"
	"tapkeeper/reader/readertest/pn532sim"
	"tapkeeper/reader/readertest/zvtsim"
)

// openPN532 puts a chip in software at the other end of a real pty.
func (s *Store) openPN532() error {
	var err error
	if s.Serial, err = line.OpenPTY(s.Path("pn532")); err != nil {
		return err
	}
	chip := pn532sim.New()
	served := make(chan struct{})
	go func() {
		defer close(served)
		chip.Serve(s.Serial)
	}()
	s.Field = chip
	s.closing = append(s.closing, func() error {
		err := s.Serial.Close()
		<-served
		return err
	})
	return nil
}

// openZVT puts a card terminal in software there instead. It takes cards, and no phone is held to it.
func (s *Store) openZVT() error {
	var err error
	if s.Serial, err = line.OpenPTY(s.Path("zvt")); err != nil {
		return err
	}
	s.Cards = zvtsim.New(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Cards.Serve(s.Serial)
	}()
	s.closing = append(s.closing, func() error {
		err := s.Serial.Close()
		<-served
		return err
	})
	return nil
}
