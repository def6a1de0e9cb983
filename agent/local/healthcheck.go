package local

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// part is as what a check was registered.
type part uint8

const (
	ofService   part = iota // in the definition of a service, with which it is kept
	alone                   // by itself, and so it is kept
	maintenance             // as a sign of maintenance, which runs nothing; it is kept by itself too
)

// healthCheck is a check that is registered here.
type healthCheck struct {
	id     string
	def    api.CheckDefinition // nothing that it refers to is changed
	token  string
	origin origin
	part   part
	// broken is why a check that was accepted once cannot be run any more: it is critical instead. It is kept, for nobody
	// has taken it back.
	broken error

	// Guarded by State.mu once the check is registered.
	value    *api.Check
	run      runner      // nil: nothing runs
	deferred *time.Timer // until the output is synced; nil: none is waiting
	reaper   *time.Timer // until the service is deregistered; nil: none is
	heard    bool        // it has had a result
	logged   bool        // that it has been synced
}

// runner is what runs a check.
type runner interface{ Close() }

// newHealthCheck makes a check of a definition that is valid, of the service or, when that is nil, of the node. It stands
// as it did last, where that is known.
func (d *draft) newHealthCheck(id string, def *api.CheckDefinition, sv *api.Service, token string, from origin, p part) *healthCheck {
	own := *def
	own.ID, own.CheckID, own.Token, own.Namespace, own.Partition, own.ServiceID = id, "", "", "", "", ""
	c := &healthCheck{id: id, def: own, token: token, origin: from, part: p}
	v := &api.Check{
		Node: d.s.o.Node.Node, CheckID: id, Name: own.Name, Status: cmp.Or(own.Status, api.Critical), Notes: own.Notes, ServiceTags: []string{},
		Type: check.KindOf(&own),
	}
	switch {
	case p == ofService:
		v.Interval, v.Timeout = shortDuration(own.Interval), shortDuration(own.Timeout)
	case p == alone:
		v.Interval, v.Timeout = own.Interval.String(), own.Timeout.String()
		if from == fromFile {
			v.Type = "" // as the public API shows it
		}
	default:
		v.Type = "maintenance"
	}
	if sv != nil {
		c.def.ServiceID = sv.ID
		v.ServiceID, v.ServiceName, v.ServiceTags = sv.ID, sv.Service, sv.Tags
		v.Name = cmp.Or(v.Name, fmt.Sprintf("Service '%s' check", sv.Service))
		c.def.Name = v.Name
	}
	c.value = v
	d.inherit(c, def.Status != "" && from == fromAPI)
	return c
}

// inherit takes over the last result of the check of the same id, unless whoever registers it says what its status is.
func (d *draft) inherit(c *healthCheck, said bool) {
	if c.part == maintenance {
		return
	}
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := d.checkBefore(c.id); old != nil {
		if !said && old.def.ServiceID == c.def.ServiceID && old.part != maintenance && check.KindOf(&old.def) == check.KindOf(&c.def) {
			c.value.Status, c.value.Output = old.value.Status, old.value.Output
		}
		return
	}
	if last, ok := s.last[c.id]; ok {
		c.value.Status, c.value.Output = last.Status, last.Output
	}
}

// shortDuration shows nothing for none.
func shortDuration(d api.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// start begins to run the check. It is called with mu held.
func (c *healthCheck) start(s *State) {
	if c.part == maintenance {
		return
	}
	if c.broken != nil {
		v := *c.value
		v.Status, v.Output = api.Critical, "This check is not run any more: "+c.broken.Error()
		c.value = &v
		return
	}
	c.watchCritical(s)
	o := check.Options{
		Update: func(_, status, output string) { s.result(c, status, output) },
		Logger: s.log, Dial: s.o.Dial, TLS: s.o.TLS, OutputMaxSize: s.o.CheckOutputMaxSize,
	}
	switch check.KindOf(&c.def) {
	case check.KindTTL:
		c.run = check.NewTTL(c.id, c.value.Output, &c.def, o)
	case check.KindAlias:
		o.Aliased = aliased{s, c}
		c.run = check.NewAlias(c.id, &c.def, o)
	default:
		c.run = check.NewRunner(c.id, c.value.Status, &c.def, o)
	}
}

// stop takes from the check what runs. It is called with mu held; what it returns is closed without.
func (c *healthCheck) stop() []runner {
	for _, t := range []*time.Timer{c.deferred, c.reaper} {
		if t != nil {
			t.Stop()
		}
	}
	c.deferred, c.reaper = nil, nil
	if c.run == nil {
		return nil
	}
	r := c.run
	c.run = nil
	return []runner{r}
}

// closeSoon closes what ran. What may have to wait for a probe that is under way does so by itself.
func (s *State) closeSoon(running []runner) {
	var slow []runner
	for _, r := range running {
		if ttl, ok := r.(*check.TTL); ok {
			ttl.Close()
		} else {
			slow = append(slow, r)
		}
	}
	if len(slow) > 0 {
		s.wg.Go(func() { closeAll(slow) })
	}
}

// closeAll closes what ran, several at a time.
func closeAll(running []runner) {
	inParallel(len(running), func(i int) { running[i].Close() })
}

// result takes a check's new result. What another check of the same id has replaced is not heard any more.
func (s *State) result(c *healthCheck, status, output string) {
	if s.o.DiscardCheckOutput {
		output = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks[c.id] != c || c.value.Status == status && c.value.Output == output {
		return
	}
	before := *c.value
	first := !c.heard && before.Output == "" // the catalog does not know why it is critical
	c.heard = true
	v := before
	v.Status, v.Output = status, output
	c.value = &v
	s.checksChanged(v.ServiceID)
	signal(s.changed)
	switch {
	case before.Status != status:
	case first:
		s.dirtyCheck(c)
		return
	default:
		s.deferOutput(c)
		return
	}
	s.log.Info("check changed", "check", c.id, "service", v.ServiceID, "from", before.Status, "to", status, "output", loggedOutput(output))
	c.watchCritical(s)
	s.dirtyCheck(c)
}

// maxLogged bounds, in bytes, what a line of the log tells of a check's output: enough for why, and no page of HTML.
const maxLogged = 200

// loggedOutput is an output's first line that says something.
func loggedOutput(output string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	return check.Bound(strings.TrimSpace(line), maxLogged)
}

// deferOutput syncs a check whose output alone is another one, but not at once: outputs may change all the time. It
// is called with mu held.
func (s *State) deferOutput(c *healthCheck) {
	switch {
	case s.o.CheckUpdateInterval <= 0:
		s.dirtyCheck(c)
	case c.deferred == nil:
		c.deferred = time.AfterFunc(jitter(s.o.CheckUpdateInterval), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.checks[c.id] == c && c.deferred != nil {
				s.dirtyCheck(c)
			}
		})
	}
}

// minReap is the least time for which a service is critical before it may be deregistered for that: a shorter one would
// take away what is only being restarted.
const minReap = time.Minute

// watchCritical starts or stops the time after which the check's service is deregistered for being critical. It is called
// with mu held.
func (c *healthCheck) watchCritical(s *State) {
	after := time.Duration(c.def.DeregisterCriticalServiceAfter)
	if after <= 0 || c.def.ServiceID == "" {
		return
	}
	switch {
	case c.value.Status != api.Critical && c.reaper != nil:
		c.reaper.Stop()
		c.reaper = nil
	case c.value.Status == api.Critical && c.reaper == nil:
		c.reaper = time.AfterFunc(max(after, minReap), func() { s.reap(c) })
	}
}

// reap deregisters the service of a check that has been critical for too long.
func (s *State) reap(c *healthCheck) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	still := s.checks[c.id] == c && c.reaper != nil && c.value.Status == api.Critical
	c.reaper = nil
	s.mu.Unlock()
	if !still || s.closed {
		return
	}
	s.log.Warn("service deregistered, it has been critical for too long",
		"service", c.def.ServiceID, "check", c.id, "after", c.def.DeregisterCriticalServiceAfter)
	err := s.changeLocked(func(d *draft) error { return d.deregisterService(c.def.ServiceID) })
	if err != nil {
		s.log.Error("critical service not deregistered", "service", c.def.ServiceID, "err", err)
	}
}

// UpdateTTL tells a TTL check's status and output.
func (s *State) UpdateTTL(id, status, output string) error {
	if !api.ValidStatus(status) {
		return invalid("Invalid check status: '%s'; it is one of passing, warning and critical", status)
	}
	s.mu.Lock()
	c := s.checks[id]
	var run runner
	if c != nil {
		run = c.run
	}
	s.mu.Unlock()
	if c == nil {
		return unknownCheck(id)
	}
	ttl, ok := run.(*check.TTL)
	if !ok && s.ctx.Err() != nil {
		return errClosed
	}
	if !ok {
		return api.Errorf(http.StatusInternalServerError, "CheckID %q does not have associated TTL: only TTL checks are told their status", id)
	}
	ttl.Set(status, output)
	return nil
}

func unknownCheck(id string) error {
	return api.Errorf(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
}

func unknownService(id string) error {
	return api.Errorf(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
}
