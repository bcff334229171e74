package main

import (
	"sync"

	"github.com/rs/zerolog"

	"tapkeeper/uplink/wire"
)

// refusals counts what is not answered, under the contract's name for why
// (docs/wallet-link.md, "Who may say what"). The zero value is ready.
type refusals struct {
	mu    sync.Mutex
	count map[string]int64
}

// note counts a publication and logs it: once, here.
func (r *refusals) note(log zerolog.Logger, err error, topic string, size int) {
	fault := wire.Fault(err)
	r.mu.Lock()
	if r.count == nil {
		r.count = map[string]int64{}
	}
	r.count[fault]++
	n := r.count[fault]
	r.mu.Unlock()
	log.Warn().Err(err).Str("fault", fault).Int64("so_far", n).Str("topic", topic).Int("bytes", size).Msg("message rejected")
}
