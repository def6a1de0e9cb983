package local

import (
	"maps"
	"time"

	"github.com/parleymesh/parley/agent/check"
)

// savedStatus is how a check stood.
type savedStatus struct {
	Status string
	Output string `json:",omitempty"`
}

const (
	// statusDelay gathers changes of statuses before they are written: they change more often than what is registered, and a
	// restart that loses the last second of them has lost nothing that the check does not tell again.
	statusDelay = time.Second
	// savedOutput bounds what is kept of an output, in bytes.
	savedOutput = 512
)

// keepStatuses writes the statuses of all checks after they have changed, so that a restart does not begin with
// everything critical.
func (s *State) keepStatuses() {
	for {
		select {
		case <-s.changed:
		case <-s.ctx.Done():
			return
		}
		select {
		case <-time.After(statusDelay):
		case <-s.ctx.Done():
			return
		}
		if err := s.writeStatuses(); err != nil {
			s.log.Error("statuses of checks not kept, it is tried again at the next change", "err", err)
		}
	}
}

func (s *State) writeStatuses() error {
	if s.o.Dir == nil {
		return nil
	}
	s.mu.Lock()
	saved := maps.Clone(s.last)
	if saved == nil {
		saved = make(map[string]savedStatus, len(s.checks))
	}
	for id, c := range s.checks {
		if c.part != maintenance && c.broken == nil {
			saved[id] = savedStatus{c.value.Status, check.Bound(c.value.Output, savedOutput)}
		}
	}
	s.mu.Unlock()
	return s.o.Dir.WriteVersioned(statusFile, formatVersion, saved)
}
