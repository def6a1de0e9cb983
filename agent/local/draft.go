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
	s *State
	// under is a draft upon which this one builds, which is to be in force before; nil: what is in force already.
	under    *draft
	services map[string]*service                // nil: goes
	checks   map[string]*healthCheck            // nil: goes
	added    map[string]map[string]*healthCheck // checks that come, by service
	roots    map[string]bool                    // services whose records on disk may change
	ports    map[int]int                        // how many more services have a port
	kept     map[string][]byte                  // what is to be written to disk, by key; nil: goes
}

func (s *State) draft() *draft {
	return &draft{
		s: s, services: map[string]*service{}, checks: map[string]*healthCheck{}, added: map[string]map[string]*healthCheck{},
		roots: map[string]bool{}, ports: map[int]int{}, kept: map[string][]byte{},
	}
}

// add takes over what another draft changes that builds upon this one.
func (d *draft) add(upper *draft) {
	maps.Copy(d.services, upper.services)
	for id, c := range upper.checks {
		if old := d.checks[id]; old != nil {
			delete(d.added[old.def.ServiceID], id)
		}
		d.putAdded(id, c)
	}
	maps.Copy(d.roots, upper.roots)
	for port, n := range upper.ports {
		d.ports[port] += n
	}
	maps.Copy(d.kept, upper.kept)
}

// service returns a service as it is to be, or nil.
func (d *draft) service(id string) *service {
	if sv, ok := d.services[id]; ok {
		return sv
	}
	if d.under != nil {
		return d.under.service(id)
	}
	return d.s.services[id]
}

// check returns a check as it is to be, or nil.
func (d *draft) check(id string) *healthCheck {
	if c, ok := d.checks[id]; ok {
		return c
	}
	return d.checkBefore(id)
}

// checkBefore returns a check as it is without the draft, or nil.
func (d *draft) checkBefore(id string) *healthCheck {
	if d.under != nil {
		return d.under.check(id)
	}
	return d.s.checks[id]
}

// checksOf returns the checks that a service, or the node, is to have, by id.
func (d *draft) checksOf(service string) []*healthCheck {
	var out []*healthCheck
	if d.under != nil {
		out = slices.DeleteFunc(d.under.checksOf(service), func(c *healthCheck) bool { return d.touched(c.id) })
	} else {
		for id, c := range d.s.byService[service] {
			if !d.touched(id) {
				out = append(out, c)
			}
		}
	}
	out = slices.AppendSeq(out, maps.Values(d.added[service]))
	slices.SortFunc(out, func(a, b *healthCheck) int { return cmp.Compare(a.id, b.id) })
	return out
}

func (d *draft) touched(check string) bool {
	_, ok := d.checks[check]
	return ok
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
	d.putAdded(c.id, c)
	d.touch(c)
}

// putAdded notes a check as it is to be, nil when it is to go.
func (d *draft) putAdded(id string, c *healthCheck) {
	d.checks[id] = c
	if c == nil {
		return
	}
	service := c.def.ServiceID
	if d.added[service] == nil {
		d.added[service] = map[string]*healthCheck{}
	}
	d.added[service][id] = c
}

func (d *draft) removeCheck(id string) {
	if old := d.check(id); old != nil {
		d.touch(old)
		delete(d.added[old.def.ServiceID], id)
		d.checks[id] = nil
	}
}

// touch notes with whom a check is kept.
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
	if d.under != nil {
		n += d.under.ports[port]
	}
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
		s.warnOfNames(s.services[id], sv)
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
	if s.anyCheck != nil {
		close(s.anyCheck)
		s.anyCheck = nil
	}
}
