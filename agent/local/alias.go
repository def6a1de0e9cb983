package local

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// aliased tells an alias check the health of what it repeats.
type aliased struct {
	s     *State
	check *healthCheck
}

// Checks implements check.Aliased.
func (a aliased) Checks(ctx context.Context, node, service string) ([]api.Check, <-chan struct{}, error) {
	if a.s.isOwn(node) {
		return a.s.ownChecks(a.check, service)
	}
	return a.s.remoteChecks(ctx, remoteKey{node, a.check.token}, service)
}

// isOwn tells whether an alias check speaks of this node.
func (s *State) isOwn(node string) bool { return node == "" || strings.EqualFold(node, s.o.Node.Node) }

// ownChecks returns the checks of a service of this host, or of the node itself, without asking anybody. Of checks that alias
// one another none counts, for each would wait for the next to be well: they stand as the worst of the others that they lead to.
func (s *State) ownChecks(who *healthCheck, service string) ([]api.Check, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.aliased[service]
	if changed == nil {
		changed = make(chan struct{})
		s.aliased[service] = changed
	}
	if service != "" && s.services[service] == nil {
		return nil, changed, fmt.Errorf("service %q is not registered on this node", service)
	}
	out := make([]api.Check, 0, len(s.byService[service]))
	seen := map[string]bool{}
	s.follows(service, seen, func(c *healthCheck) (on bool) {
		if c == who {
			return false
		}
		if on = s.leadsTo(c, who); !on {
			out = append(out, *c.value)
		}
		return on
	})
	sortChecks(out)
	if len(seen) > 1 {
		if s.anyCheck == nil {
			s.anyCheck = make(chan struct{})
		}
		changed = s.anyCheck
	}
	return out, changed, nil
}

// follows visits the checks of a service, and of those that its alias checks repeat for which visit says so. It is called
// with mu held.
func (s *State) follows(service string, seen map[string]bool, visit func(*healthCheck) (on bool)) {
	seen[service] = true
	for _, c := range s.byService[service] {
		if visit(c) && !seen[c.def.AliasService] {
			s.follows(c.def.AliasService, seen, visit)
		}
	}
}

// repeatsOwn tells whether it is an alias check of something of this host.
func (s *State) repeatsOwn(c *healthCheck) bool {
	return c.part != maintenance && check.KindOf(&c.def) == check.KindAlias && s.isOwn(c.def.AliasNode)
}

// leadsTo tells whether what an alias check repeats depends on another check. It is called with mu held.
func (s *State) leadsTo(c, other *healthCheck) bool {
	if !s.repeatsOwn(c) {
		return false
	}
	found := false
	s.follows(c.def.AliasService, map[string]bool{}, func(next *healthCheck) bool {
		found = found || next == other
		return !found && s.repeatsOwn(next)
	})
	return found
}

func sortChecks(checks []api.Check) {
	slices.SortFunc(checks, func(a, b api.Check) int { return cmp.Compare(a.CheckID, b.CheckID) })
}

// remoteKey is another node that is followed, and with whose token.
type remoteKey struct{ node, token string }

// remote is what the catalog says of another node. One watch serves all alias checks of it. It is guarded by State.mu.
type remote struct {
	known   bool
	there   bool // the node is in the catalog
	checks  []api.Check
	ids     map[string]bool // of its services
	changed chan struct{}   // closed when anything above changes
	asked   bool            // since the last change, which is when whoever is interested asks
	last    time.Time       // of the last change
}

const (
	// remoteRetry is about how long a watch that failed is not begun again.
	remoteRetry = time.Second
	// remotePatience is how long after a change an alias check may take to ask for it.
	remotePatience = 10 * time.Second
)

// remoteChecks returns the checks of another node, or of a service there. It waits for the first answer.
func (s *State) remoteChecks(ctx context.Context, key remoteKey, service string) ([]api.Check, <-chan struct{}, error) {
	for {
		s.mu.Lock()
		r := s.follow(key)
		r.asked = true
		changed := r.changed
		if r.known {
			defer s.mu.Unlock()
			return r.of(key.node, service)
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, changed, fmt.Errorf("no server has told of node %q yet", key.node)
		}
	}
}

func (r *remote) of(node, service string) ([]api.Check, <-chan struct{}, error) {
	switch {
	case !r.there:
		return nil, r.changed, fmt.Errorf("node %q is not in the catalog", node)
	case service != "" && !r.ids[service]:
		return nil, r.changed, fmt.Errorf("service %q is not registered on node %q", service, node)
	}
	var out []api.Check
	for i := range r.checks {
		if r.checks[i].ServiceID == service {
			out = append(out, r.checks[i])
		}
	}
	return out, r.changed, nil
}

// follow returns what is known of another node, and begins to follow it. It is called with mu held.
func (s *State) follow(key remoteKey) *remote {
	r := s.remotes[key]
	if r == nil {
		r = &remote{changed: make(chan struct{})}
		if s.ctx.Err() == nil {
			s.remotes[key] = r
			s.wg.Go(func() { s.watchNode(key, r) })
		}
	}
	return r
}

// watchNode keeps a remote current for as long as somebody asks for it. While no server answers, it stays as it was.
func (s *State) watchNode(key remoteKey, r *remote) {
	for {
		if err := s.readNode(key, r); err == nil || s.ctx.Err() != nil {
			return
		} else {
			s.log.Debug("watch of an aliased node failed and is begun again", "node", key.node, "err", err)
		}
		select {
		case <-time.After(jitter(remoteRetry)):
		case <-s.ctx.Done():
			return
		}
	}
}

// readNode returns nil when nobody is interested any more.
func (s *State) readNode(key remoteKey, r *remote) error {
	reader, err := s.o.Client.Watch(s.ctx, verb.Options{Token: s.token(key.token)}, catalog.Node{Name: key.node})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		a, err := reader.Next(s.ctx)
		if err != nil {
			return err
		}
		if !s.setNode(key, r, verb.Values[*catalog.NodePart](a)) {
			return nil
		}
	}
}

// setNode takes news of a node. It reports whether anybody has asked for the last.
func (s *State) setNode(key remoteKey, r *remote, parts []*catalog.NodePart) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := r.asked || time.Since(r.last) < remotePatience
	if r.asked {
		r.last = time.Now()
	}
	r.known, r.asked, r.there, r.checks, r.ids = true, false, false, nil, map[string]bool{}
	for _, p := range parts {
		switch {
		case p.Node != nil:
			r.there = true
		case p.Service != nil:
			r.ids[p.Service.ID] = true
		case p.Check != nil:
			r.checks = append(r.checks, *p.Check)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	if !wanted {
		delete(s.remotes, key)
	}
	return wanted
}
