package http

// Waiting is how many blocking queries wait.
func (s *Server) Waiting() int64 { return s.waiting.count() }
