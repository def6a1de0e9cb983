package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/agent/datadir"
	"github.com/parleymesh/parley/api"
)

// Where things are kept in the data directory, and in what format.
const (
	journalFile   = "local/registrations"
	statusFile    = "local/status.json"
	formatVersion = 1
)

// What the keys of the journal begin with. The rest is an id.
const (
	serviceKeys = "service/"
	checkKeys   = "check/"
)

func serviceKey(id string) string { return serviceKeys + id }

func checkKey(id string) string { return checkKeys + id }

// A keptRegistration is what one registration through the API has left: the service and its sidecar.
type keptRegistration struct {
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

// A loneCheck is a check that was registered by itself.
type loneCheck struct {
	Check       keptCheck
	Maintenance bool `json:",omitempty"`
}

// encode puts together what of the draft is to be written to disk.
func (d *draft) encode() error {
	if d.s.journal == nil {
		return nil
	}
	for id := range d.roots {
		var data []byte
		if k := d.registration(id); k != nil {
			var err error
			if data, err = json.Marshal(k); err != nil {
				return fmt.Errorf("keep service %q: %w", id, err)
			}
		}
		d.keep(serviceKey(id), data)
	}
	for id := range d.checks {
		var data []byte
		if k := d.checks[id].lone(); k != nil {
			var err error
			if data, err = json.Marshal(k); err != nil {
				return fmt.Errorf("keep check %q: %w", id, err)
			}
		}
		d.keep(checkKey(id), data)
	}
	return nil
}

// keep has a value written unless it is the one that the key has already.
func (d *draft) keep(key string, data []byte) {
	if d.under != nil {
		if before, ok := d.under.kept[key]; ok {
			if (before == nil) != (data == nil) || !bytes.Equal(before, data) {
				d.kept[key] = data
			}
			return
		}
	}
	if !d.s.journal.Same(key, data) {
		d.kept[key] = data
	}
}

// write writes to disk what the draft changes, as one.
func (d *draft) write() error {
	if d.s.journal == nil {
		return nil
	}
	changes := make([]datadir.Change, 0, len(d.kept))
	for key, data := range d.kept {
		changes = append(changes, datadir.Change{Key: key, Value: data})
	}
	if err := d.s.journal.Append(changes); err != nil {
		return fmt.Errorf("what is registered cannot be kept, so nothing is changed: %w", err)
	}
	return nil
}

// registration is what is to be kept of a service and its sidecar; nil for nothing.
func (d *draft) registration(id string) *keptRegistration {
	sv := d.service(id)
	if sv == nil || sv.origin == fromFile || sv.parent != "" {
		return nil
	}
	k := &keptRegistration{Service: d.keptService(sv)}
	if sidecar := d.sidecarOf(id); sidecar != nil {
		px := d.keptService(sidecar)
		k.Sidecar = &px
	}
	return k
}

func (d *draft) keptService(sv *service) keptService {
	k := keptService{Definition: sv.def, Token: sv.token}
	for _, c := range d.checksOf(sv.def.ID) {
		if c.part == ofService {
			k.Checks = append(k.Checks, c.kept())
		}
	}
	return k
}

func (c *healthCheck) kept() keptCheck { return keptCheck{Definition: c.def, Token: c.token} }

// lone is what is to be kept of a check by itself; nil for nothing.
func (c *healthCheck) lone() *loneCheck {
	if c == nil || c.part == ofService || c.origin == fromFile {
		return nil
	}
	return &loneCheck{Check: c.kept(), Maintenance: c.part == maintenance}
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
	var err error
	if s.journal, err = dir.OpenJournal(journalFile, formatVersion, s.log); err != nil {
		return err
	}
	d := s.draft()
	keys := slices.Sorted(maps.Keys(s.journal.All()))
	slices.Reverse(keys) // the services before their checks
	for _, key := range keys {
		if err := d.restoreKey(key, s.journal.All()[key]); err != nil {
			return fmt.Errorf("%s: %w; run the release that wrote it, or move the file away to go on without what it keeps", dir.Path(journalFile), err)
		}
	}
	d.commit()
	return nil
}

// restoreKey takes up what a key of the journal keeps.
func (d *draft) restoreKey(key string, data []byte) error {
	if id, ok := strings.CutPrefix(key, serviceKeys); ok {
		var k keptRegistration
		if err := decodeKept(data, &k); err != nil || k.Service.Definition.ID != id {
			return fmt.Errorf("service %q cannot be understood: %w", id, cmp.Or(err, errOtherID))
		}
		return d.restoreService(&k)
	}
	id, ok := strings.CutPrefix(key, checkKeys)
	if !ok {
		return fmt.Errorf("%q is not known to this release", key)
	}
	var k loneCheck
	if err := decodeKept(data, &k); err != nil || k.Check.Definition.ID != id {
		return fmt.Errorf("check %q cannot be understood: %w", id, cmp.Or(err, errOtherID))
	}
	if !d.restoreCheck(&k) {
		d.s.stray[id] = &k
	}
	return nil
}

var errOtherID = errors.New("the definition has another id")

func decodeKept(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (d *draft) restoreService(k *keptRegistration) error {
	if err := d.restoreOne(&k.Service, ""); err != nil {
		return err
	}
	if k.Sidecar == nil {
		return nil
	}
	id := k.Service.Definition.ID
	if k.Sidecar.Definition.ID != sidecarID(id) {
		return fmt.Errorf("%q is not the id of the sidecar of %q", k.Sidecar.Definition.ID, id)
	}
	return d.restoreOne(k.Sidecar, id)
}

func (d *draft) restoreOne(k *keptService, parent string) error {
	if err := d.admit(&k.Definition); err != nil {
		return fmt.Errorf("service %q makes no sense any more: %w", k.Definition.ID, err)
	}
	if d.service(k.Definition.ID) != nil {
		return fmt.Errorf("service %q is there twice", k.Definition.ID)
	}
	sv := newService(&k.Definition, k.Token, fromAPI, parent)
	d.putService(sv)
	for i := range k.Checks {
		d.restoreHealthCheck(&k.Checks[i], sv.value, ofService)
	}
	return nil
}

// restoreCheck takes up a check that was registered by itself, unless its service is not there.
func (d *draft) restoreCheck(f *loneCheck) bool {
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
	c := d.newHealthCheck(k.Definition.ID, &k.Definition, sv, k.Token, fromAPI, p)
	if p != maintenance {
		if c.broken = check.Validate(&k.Definition, d.s.o.Scripts, false); c.broken != nil {
			d.s.log.Warn("check is not run any more and is critical", "check", c.id, "service", k.Definition.ServiceID, "err", c.broken)
		}
	}
	d.putCheck(c)
}
