package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// Where things are kept in the data directory, and in what format.
const (
	servicesDir   = "local/services"
	checksDir     = "local/checks"
	statusFile    = "local/status.json"
	formatVersion = 1
)

// A serviceFile is what one registration through the API has left: the service and its sidecar. It is one file, so that a
// registration is one write and is there as a whole or not at all.
type serviceFile struct {
	Service keptService
	Sidecar *keptService `json:",omitempty"`
}

type keptService struct {
	Definition api.ServiceDefinition
	Token      string      `json:",omitempty"`
	Checks     []keptCheck `json:",omitempty"`
}

type keptCheck struct {
	Definition api.CheckDefinition // with its ID
	Token      string              `json:",omitempty"`
}

// A checkFile is a check that was registered by itself.
type checkFile struct {
	Check       keptCheck
	Maintenance bool `json:",omitempty"`
}

// fileName is the name of the file of a service or check: an id may have any characters and be longer than a file's name.
func fileName(dir, id string) string {
	sum := sha256.Sum256([]byte(id))
	return path.Join(dir, hex.EncodeToString(sum[:16])+".json")
}

// write writes to disk what the draft changes in files: first what comes, then what goes.
func (d *draft) write() error {
	dir := d.s.o.Dir
	if dir == nil {
		return nil
	}
	var gone []string
	for _, id := range slices.Sorted(maps.Keys(d.roots)) {
		name := fileName(servicesDir, id)
		before, after := d.s.draft().serviceFile(id), d.serviceFile(id)
		switch {
		case after == nil && before != nil:
			gone = append(gone, name)
		case after == nil || reflect.DeepEqual(before, after):
		default:
			if err := dir.WriteVersioned(name, formatVersion, after); err != nil {
				return fmt.Errorf("keep service %q: %w", id, err)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.checks)) {
		name := fileName(checksDir, id)
		before, after := d.s.checks[id].file(), d.checks[id].file()
		switch {
		case after == nil && before != nil:
			gone = append(gone, name)
		case after == nil || reflect.DeepEqual(before, after):
		default:
			if err := dir.WriteVersioned(name, formatVersion, after); err != nil {
				return fmt.Errorf("keep check %q: %w", id, err)
			}
		}
	}
	for _, name := range gone {
		if err := dir.Remove(name); err != nil {
			return fmt.Errorf("forget %s: %w", dir.Path(name), err)
		}
	}
	return nil
}

// serviceFile is what is to be kept of a service and its sidecar; nil for nothing.
func (d *draft) serviceFile(id string) *serviceFile {
	sv := d.service(id)
	if sv == nil || sv.origin == fromFile || sv.parent != "" {
		return nil
	}
	f := &serviceFile{Service: d.kept(sv)}
	if sidecar := d.sidecarOf(id); sidecar != nil {
		k := d.kept(sidecar)
		f.Sidecar = &k
	}
	return f
}

func (d *draft) kept(sv *service) keptService {
	k := keptService{Definition: sv.def, Token: sv.token}
	for _, c := range d.checksOf(sv.def.ID) {
		if c.part == ofService {
			k.Checks = append(k.Checks, c.kept())
		}
	}
	return k
}

func (c *healthCheck) kept() keptCheck { return keptCheck{Definition: c.def, Token: c.token} }

// file is what is to be kept of a check by itself; nil for nothing.
func (c *healthCheck) file() *checkFile {
	if c == nil || c.part == ofService || c.origin == fromFile {
		return nil
	}
	return &checkFile{Check: c.kept(), Maintenance: c.part == maintenance}
}

// restore reads everything that is kept. Whatever cannot be read or makes no sense any more stops it, and is left as it is.
func (s *State) restore() error {
	dir := s.o.Dir
	if dir == nil {
		return nil
	}
	if err := dir.ReadVersioned(statusFile, formatVersion, &s.last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	d := s.draft()
	names, err := dir.List(servicesDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		var f serviceFile
		if err := dir.ReadVersioned(name, formatVersion, &f); err != nil {
			return err
		}
		if err := d.restoreService(name, &f); err != nil {
			return fmt.Errorf("%s: %w; correct the file, or move it away to go on without it", dir.Path(name), err)
		}
	}
	if names, err = dir.List(checksDir); err != nil {
		return err
	}
	for _, name := range names {
		var f checkFile
		if err := dir.ReadVersioned(name, formatVersion, &f); err != nil {
			return err
		}
		id := f.Check.Definition.ID
		if id == "" || name != fileName(checksDir, id) {
			return fmt.Errorf("%s: this is not the name of the file of check %q; move it away", dir.Path(name), id)
		}
		if !d.restoreCheck(&f) {
			s.stray[id] = &f
		}
	}
	d.commit()
	return nil
}

func (d *draft) restoreService(name string, f *serviceFile) error {
	id := f.Service.Definition.ID
	if id == "" || name != fileName(servicesDir, id) {
		return fmt.Errorf("this is not the name of the file of service %q", id)
	}
	if err := d.restoreOne(&f.Service, ""); err != nil {
		return err
	}
	if f.Sidecar == nil {
		return nil
	}
	if f.Sidecar.Definition.ID != sidecarID(id) {
		return fmt.Errorf("%q is not the id of the sidecar of %q", f.Sidecar.Definition.ID, id)
	}
	return d.restoreOne(f.Sidecar, id)
}

func (d *draft) restoreOne(k *keptService, parent string) error {
	if err := d.admit(&k.Definition); err != nil {
		return fmt.Errorf("service %q makes no sense any more: %w", k.Definition.ID, err)
	}
	if old := d.service(k.Definition.ID); old != nil {
		// A registration was cut short that was to make a sidecar of a service. It was not acknowledged.
		if parent != "" {
			return nil
		}
		d.removeChecksOf(k.Definition.ID)
	}
	sv := newService(&k.Definition, k.Token, fromAPI, parent)
	d.putService(sv)
	for i := range k.Checks {
		d.restoreHealthCheck(&k.Checks[i], sv.value, ofService)
	}
	return nil
}

// restoreCheck takes up a check that was registered by itself, unless its service is not there.
func (d *draft) restoreCheck(f *checkFile) bool {
	sv, err := d.checkedService(f.Check.Definition.ServiceID)
	if err != nil {
		return false
	}
	p := alone
	if f.Maintenance {
		p = maintenance
	}
	d.restoreHealthCheck(&f.Check, sv, p)
	return true
}

// restoreHealthCheck takes up a check. One that may not be run any more, say a script on an agent that runs none, stays
// and is critical: it was not taken back.
func (d *draft) restoreHealthCheck(k *keptCheck, sv *api.Service, p part) {
	c := d.s.newHealthCheck(k.Definition.ID, &k.Definition, sv, k.Token, fromAPI, p)
	if p != maintenance {
		if c.broken = check.Validate(&k.Definition, d.s.o.Scripts, false); c.broken != nil {
			d.s.log.Warn("check is not run any more and is critical", "check", c.id, "service", k.Definition.ServiceID, "err", c.broken)
		}
	}
	d.putCheck(c)
}
