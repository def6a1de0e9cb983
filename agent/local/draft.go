package local

import (
	"cmp"
	"maps"
	"slices"

	"github.com/parleymesh/parley/api"
)

// draft is a change of what is registered here, put together before anything is changed: what refuses a part of it refuses
// all. It is made, written to disk and put into force with State.changing held.
type draft struct {
	s        *State
	services map[string]*service                // nil: goes
	checks   map[string]*healthCheck            // nil: goes
	added    map[string]map[string]*healthCheck // checks that come, by service
	roots    map[string]bool                    // services whose files may change
	ports    map[int]int                        // how many more services have a port
}

func (s *State) draft() *draft {
	return &draft{
		s: s, services: map[string]*service{}, checks: map[string]*healthCheck{}, added: map[string]map[string]*healthCheck{},
		roots: map[string]bool{}, ports: map[int]int{},
	}
}

// service returns a service as it is to be, or nil.
func (d *draft) service(id string) *service {
	if sv, ok := d.services[id]; ok {
		return sv
	}
	return d.s.services[id]
}

// check returns a check as it is to be, or nil.
func (d *draft) check(id string) *healthCheck {
	if c, ok := d.checks[id]; ok {
		return c
	}
	return d.s.checks[id]
}

// checksOf returns the checks that a service, or the node, is to have, by id.
func (d *draft) checksOf(service string) []*healthCheck {
	var out []*healthCheck
	for id, c := range d.s.byService[service] {
		if _, touched := d.checks[id]; !touched {
			out = append(out, c)
		}
	}
	out = slices.AppendSeq(out, maps.Values(d.added[service]))
	slices.SortFunc(out, func(a, b *healthCheck) int { return cmp.Compare(a.id, b.id) })
	return out
}

// sidecarOf returns the sidecar with which a service is registered, or nil.
func (d *draft) sidecarOf(id string) *service {
	if sv := d.service(sidecarID(id)); sv != nil && sv.parent == id {
		return sv
	}
	return nil
}

func (d *draft) putService(sv *service) {
	d.dropService(sv.def.ID)
	d.services[sv.def.ID] = sv
	d.roots[sv.root()] = true
	d.ports[sv.def.Port]++
}

// dropService takes a service out, and leaves its checks.
func (d *draft) dropService(id string) {
	if old := d.service(id); old != nil {
		d.roots[old.root()] = true
		d.ports[old.def.Port]--
		d.services[id] = nil
	}
}

// removeService takes a service out with its checks and its sidecar.
func (d *draft) removeService(id string) {
	if sidecar := d.sidecarOf(id); sidecar != nil {
		d.removeService(sidecar.def.ID)
	}
	for _, c := range d.checksOf(id) {
		d.removeCheck(c.id)
	}
	d.dropService(id)
}

func (d *draft) putCheck(c *healthCheck) {
	d.removeCheck(c.id)
	d.checks[c.id] = c
	service := c.def.ServiceID
	if d.added[service] == nil {
		d.added[service] = map[string]*healthCheck{}
	}
	d.added[service][c.id] = c
	d.touch(c)
}

func (d *draft) removeCheck(id string) {
	if old := d.check(id); old != nil {
		d.touch(old)
		delete(d.added[old.def.ServiceID], id)
		d.checks[id] = nil
	}
}

// touch notes whose file a check is in.
func (d *draft) touch(c *healthCheck) {
	if c.part != ofService {
		return
	}
	if sv := d.service(c.def.ServiceID); sv != nil {
		d.roots[sv.root()] = true
	}
}

// usedPort tells whether a service other than the given one is to have a port.
func (d *draft) usedPort(port int, but *service) bool {
	n := d.s.ports[port] + d.ports[port]
	if but != nil && but.def.Port == port {
		n--
	}
	return n > 0
}

// commit puts the draft into force.
func (d *draft) commit() {
	s := d.s
	var stopped []runner
	s.mu.Lock()
	for id, sv := range d.services {
		s.setService(id, sv)
	}
	for id, c := range d.checks {
		stopped = append(stopped, s.setCheck(id, c)...)
	}
	for id, sv := range d.services {
		if sv != nil {
			s.relabel(sv.value)
		}
		s.checksChanged(id)
	}
	s.mu.Unlock()
	signal(s.wake)
	signal(s.changed)
	s.closeSoon(stopped)
}

// setService is called with mu held.
func (s *State) setService(id string, sv *service) {
	old := s.services[id]
	if old != nil {
		if s.ports[old.def.Port]--; s.ports[old.def.Port] == 0 {
			delete(s.ports, old.def.Port)
		}
		if old.changed != nil {
			close(old.changed)
		}
	}
	if sv == nil {
		delete(s.services, id)
		if old != nil {
			s.dirty.serviceGone(id, old.token)
		}
		return
	}
	s.services[id] = sv
	s.ports[sv.def.Port]++
	if old == nil && s.added != nil {
		close(s.added)
		s.added = nil
	}
	s.dirty.services[id] = struct{}{}
}

// setCheck is called with mu held. It returns what is to be closed.
func (s *State) setCheck(id string, c *healthCheck) (stopped []runner) {
	if old := s.checks[id]; old != nil {
		stopped = old.stop()
		delete(s.byService[old.def.ServiceID], id)
		if len(s.byService[old.def.ServiceID]) == 0 {
			delete(s.byService, old.def.ServiceID)
		}
		delete(s.checks, id)
		s.checksChanged(old.def.ServiceID)
		if c == nil {
			s.dirty.checkGone(id, goneCheck{old.def.ServiceID, old.token})
		}
	}
	if c == nil {
		return stopped
	}
	s.checks[id] = c
	if s.byService[c.def.ServiceID] == nil {
		s.byService[c.def.ServiceID] = map[string]*healthCheck{}
	}
	s.byService[c.def.ServiceID][id] = c
	delete(s.last, id)
	c.start(s)
	s.dirty.checks[id] = struct{}{}
	s.checksChanged(c.def.ServiceID)
	return stopped
}

// relabel gives the checks of a service its name, by which they are authorised, when that has become another one. A check's
// tags stay those of its registration, as the public API shows them here; in the catalog they follow by themselves. It is
// called with mu held.
func (s *State) relabel(sv *api.Service) {
	for _, c := range s.byService[sv.ID] {
		if c.value.ServiceName == sv.Service {
			continue
		}
		v := *c.value
		v.ServiceName, v.ServiceTags = sv.Service, sv.Tags
		c.value = &v
	}
}

// checksChanged wakes who waits for the checks of a service, or of the node. It is called with mu held.
func (s *State) checksChanged(service string) {
	if ch := s.aliased[service]; ch != nil {
		close(ch)
		delete(s.aliased, service)
	}
}
