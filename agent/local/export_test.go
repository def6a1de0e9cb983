package local

// Followed counts the other nodes that are followed for alias checks.
func (s *State) Followed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.remotes)
}
