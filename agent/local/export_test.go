package local

// Followed counts the other nodes that are followed for alias checks.
func (s *State) Followed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.remotes)
}

// BreakJournal has every write to the journal fail until mend.
func (s *State) BreakJournal() (mend func()) {
	s.changing.Lock()
	defer s.changing.Unlock()
	_ = s.journal.Close()
	return func() {
		s.changing.Lock()
		defer s.changing.Unlock()
		s.journal, _ = s.o.Dir.OpenJournal(journalFile, formatVersion, s.log)
	}
}
