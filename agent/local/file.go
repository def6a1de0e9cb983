package local

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/parleymesh/parley/api"
)

// LoadDefinitions registers the services and checks of configuration files. Whoever calls New calls it once, before Run: what
// the API has registered may belong to them. One that is refused is named in the log and left out: a typing error in it is no
// reason for all others of this host to be gone.
func (s *State) LoadDefinitions(services []api.ServiceDefinition, checks []api.CheckDefinition) error {
	services, checks, refused := s.sift(services, checks)
	for _, err := range refused {
		s.log.Error("a definition in the configuration files is refused and left out; correct it and reload", "err", err)
	}
	if err := s.Reload(services, checks); err != nil {
		return err
	}
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	return nil
}

// Reload replaces the services and checks of configuration files. What is defined as before goes on as it is, and what the
// API has registered stays, unless a file defines the same id.
func (s *State) Reload(services []api.ServiceDefinition, checks []api.CheckDefinition) error {
	err := s.changeAlone(func(d *draft) error {
		d.dropFiles()
		// Those with sidecars first, so that no other takes their ports.
		for _, again := range []bool{true, false} {
			for i := range services {
				if _, had := s.services[sidecarID(serviceID(&services[i]))]; had != again {
					continue
				}
				if err := d.loadService(&services[i]); err != nil {
					return err
				}
			}
		}
		for i := range checks {
			if err := d.loadCheck(&checks[i]); err != nil {
				return err
			}
		}
		d.keepSame()
		return nil
	})
	if err != nil {
		return err
	}
	return s.settleStray()
}

func serviceID(def *api.ServiceDefinition) string { return cmp.Or(def.ID, def.Name) }

func (d *draft) loadService(def *api.ServiceDefinition) error {
	id := serviceID(def)
	if old := d.services[id]; old != nil && old.origin == fromFile && old.parent == "" {
		return invalid("service %q is defined twice; give one of the two another id", id)
	}
	if err := d.register(def, "", fromFile, true); err != nil {
		return fmt.Errorf("service %q: %w", id, err)
	}
	return nil
}

func (d *draft) loadCheck(def *api.CheckDefinition) error {
	id := cmp.Or(def.ID, def.CheckID, def.Name)
	if old := d.checks[id]; old != nil && old.origin == fromFile {
		return invalid("check %q is defined twice; give one of the two another id", id)
	}
	if err := d.registerCheck(def, "", fromFile); err != nil {
		return fmt.Errorf("check %q: %w", id, err)
	}
	return nil
}

// dropFiles takes out what configuration files have defined. Checks that the API has registered for such a service stay
// for now: the service may come back.
func (d *draft) dropFiles() {
	for id, sv := range d.s.services {
		if sv.origin == fromFile {
			d.dropService(id)
		}
	}
	for id, c := range d.s.checks {
		if c.origin == fromFile {
			d.removeCheck(id)
		}
	}
}

// keepSame takes out of the draft what is as it was, so that it goes on undisturbed; and takes out with their services the
// checks whose services are not there any more.
func (d *draft) keepSame() {
	for id, sv := range d.services {
		if sv == nil && d.s.services[id] != nil {
			d.removeChecksOf(id)
			continue
		}
		if old := d.s.services[id]; sv != nil && old != nil && sameService(old, sv) {
			delete(d.services, id)
		}
	}
	for id, c := range d.checks {
		if old := d.s.checks[id]; c != nil && old != nil && sameCheck(old, c) {
			delete(d.checks, id)
			delete(d.added[c.def.ServiceID], id)
		}
	}
}

func (d *draft) removeChecksOf(service string) {
	for _, c := range d.checksOf(service) {
		d.removeCheck(c.id)
	}
}

func sameService(a, b *service) bool {
	return a.token == b.token && a.origin == b.origin && a.parent == b.parent && reflect.DeepEqual(a.def, b.def)
}

func sameCheck(a, b *healthCheck) bool {
	return a.token == b.token && a.origin == b.origin && a.part == b.part && a.broken == nil && reflect.DeepEqual(a.def, b.def)
}

// settleStray takes up the kept checks whose service is there by now, and forgets those of which it is not.
func (s *State) settleStray() error {
	if len(s.stray) == 0 {
		return nil
	}
	return s.changeAlone(func(d *draft) error {
		for id, f := range s.stray {
			if d.restoreCheck(f) {
				continue
			}
			service := f.Check.Definition.ServiceID
			s.log.Warn("check forgotten, its service is not registered any more", "check", id, "service", service)
			d.kept[checkKey(id)] = nil
		}
		clear(s.stray)
		return nil
	})
}
