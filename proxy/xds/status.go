package xds

import (
	"cmp"
	"slices"
	"strings"
)

// State is how far a resource has come.
type State string

// The states of a resource.
const (
	Sent     State = "sent" // and not answered yet
	Accepted State = "accepted"
	Rejected State = "rejected" // Envoy keeps what it had before
)

// Resource is what one Envoy made of one resource.
type Resource struct {
	Type    string // such as envoy.ListenerType
	Name    string
	Version string
	State   State
	Reason  string `json:",omitempty"` // of a rejection, in Envoy's words
}

// Proxy is one connected Envoy.
type Proxy struct {
	ProxyID   string
	Ready     bool // there is a snapshot
	Resources []Resource
	// Problems are parts of the snapshot that could not be translated. What they guard is closed.
	Problems []string `json:",omitempty"`
}

// Status returns what is known of the Envoys that are connected now, by the proxy's id.
func (s *Server) Status() []Proxy {
	s.mu.Lock()
	streams := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	var out []Proxy
	for _, st := range streams {
		if p := st.status(); p.ProxyID != "" {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Proxy) int { return cmp.Compare(a.ProxyID, b.ProxyID) })
	return out
}

func (s *stream) status() Proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Proxy{
		ProxyID: s.proxyID, Ready: s.ready, Problems: s.problems, Resources: s.client.resources(),
	}
}

// resources returns what the client holds, by type in the order of sending, and by name.
func (c *client) resources() []Resource {
	var out []Resource
	for _, typeURL := range order {
		s := c.types[typeURL]
		if s == nil {
			continue
		}
		from := len(out)
		for name, version := range s.held {
			r := Resource{Type: typeURL, Name: name, Version: version, State: Sent}
			v, answered := s.verdicts[name]
			switch {
			case answered && v.reason != "":
				r.State, r.Reason = Rejected, v.reason
			case answered || !s.flies(name):
				r.State = Accepted // what a client came with is what it accepted
			}
			out = append(out, r)
		}
		slices.SortFunc(out[from:], func(a, b Resource) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

func (s *subscription) flies(name string) bool {
	return slices.ContainsFunc(s.flight, func(f flight) bool { _, ok := f.versions[name]; return ok })
}

// containsName tells whether a text speaks of a name, which does not go on before or after it.
func containsName(text, name string) bool {
	for {
		i := strings.Index(text, name)
		if name == "" || i < 0 {
			return false
		}
		end := i + len(name)
		if (i == 0 || !nameByte(text[i-1])) && (end == len(text) || !nameByte(text[end]) || text[end] == ':' && (end+1 == len(text) || text[end+1] == ' ')) {
			return true
		}
		text = text[i+1:]
	}
}

func nameByte(c byte) bool {
	return c == '-' || c == '_' || c == '.' || c == ':' || c == '/' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
