package query

import (
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// maxName bounds a query's name: what DNS can ask for is shorter.
const maxName = 512

// validate judges a query without any state.
func validate(q *api.PreparedQuery) error {
	if err := check(q); err != nil {
		return refusal("Invalid prepared query: %v", err)
	}
	if _, err := compile(q, call{Name: q.Name}); err != nil {
		return refusal("failed compiling template: %v", err)
	}
	return nil
}

// bound refuses a query that nobody would find and nothing would remove.
func bound(q *api.PreparedQuery) error {
	if q.Name == "" && q.Session == "" && q.Template.Type == "" {
		return refusal("Invalid prepared query: Must be bound to a session, or have a Name")
	}
	return nil
}

func check(q *api.PreparedQuery) error {
	s := &q.Service
	switch f := &s.Failover; {
	case len(q.Name) > maxName:
		return refusal("Bad Name: it has %d bytes, at most %d are allowed", len(q.Name), maxName)
	case s.Service == "":
		return refusal("Must provide a Service name to query")
	case f.NearestN < 0:
		return refusal("Bad NearestN '%d', must be >= 0", f.NearestN)
	case len(f.Targets) > 0 && (f.NearestN != 0 || len(f.Datacenters) > 0):
		return refusal("Failover.Targets cannot be used with Failover.NearestN or Failover.Datacenters")
	case s.SamenessGroup != "" && (f.NearestN != 0 || len(f.Datacenters) > 0 || len(f.Targets) > 0):
		return refusal("Service.SamenessGroup cannot be used with Service.Failover")
	case q.Template.Type == "" && q.Template.Regexp != "":
		return refusal("Template.Regexp is for a template: set Template.Type to %q", api.QueryNamePrefixMatch)
	}
	for i, t := range s.Failover.Targets {
		if t.Peer != "" && t.Datacenter != "" {
			return refusal("Failover.Targets[%d] names the peer %q and the datacenter %q: only one of them can be asked", i, t.Peer, t.Datacenter)
		}
	}
	if text := q.DNS.TTL; text != "" {
		ttl, err := time.ParseDuration(text)
		if err != nil {
			return refusal("Bad DNS TTL '%s': %v", text, err)
		}
		if ttl < 0 {
			return refusal("DNS TTL '%d', must be >=0", ttl)
		}
	}
	return nil
}

// admit judges a query beside what stands.
func admit(tx *state.Tx, q *api.PreparedQuery) error {
	if err := bound(q); err != nil {
		return err
	}
	if q.Session != "" && !state.SessionExists(tx, q.Session) {
		return refusal("invalid session %q", q.Session)
	}
	if q.Template.Type != "" {
		if other := state.QueryTemplate(tx, q.Name); other != nil && other.ID != q.ID {
			if q.Name == "" {
				return refusal("a query template with an empty name already exists")
			}
			return refusal("query template with name '%s' already exists", q.Name)
		}
		return nil
	}
	if q.Name == "" {
		return nil
	}
	if other := state.NamedQuery(tx, q.Name); other != nil && other.ID != q.ID {
		return refusal("name '%s' aliases an existing query name", q.Name)
	}
	// What is asked for by its name must not be found by another's id.
	if other := state.PreparedQuery(tx, q.Name); other != nil && other.ID != q.ID {
		return refusal("name '%s' aliases an existing query ID", q.Name)
	}
	return nil
}
