package api

// UserEvent is something that a user tells all agents, or those whom its filters choose. Gossip carries it: it is told
// within seconds, to whoever is there, and kept by nobody for long.
type UserEvent struct {
	ID      string
	Name    string
	Payload []byte
	// The filters are regular expressions, empty for all: the agent's node, a service on it, a tag of that service.
	NodeFilter    string
	ServiceFilter string
	TagFilter     string
	Version       int
	LTime         uint64 // the Lamport time at which it was told
}
