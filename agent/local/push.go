package local

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// job is one command of a push.
type job struct {
	what  string // for the log, and to know it again
	token string
	cmd   verb.Command
	// done is told, with mu held, that the command was carried out; again, that it was not and no server has refused it.
	done, again func(s *State)
}

// maxChecks bounds how many checks of the node travel in one command.
const maxChecks = 64

// push tells the catalog what is marked. What cannot be told because no server answers stays marked; what servers refuse
// comes up again when everything is compared, and does not hold up the rest.
func (s *State) push(ctx context.Context) error {
	s.mu.Lock()
	d := s.takeDirty()
	stages := [][]job{s.nodeJob(d), s.serviceJobs(d), s.checkJobs(d)}
	s.mu.Unlock()
	var failed error
	for _, jobs := range stages {
		if err := s.carryOut(ctx, jobs, failed != nil); err != nil {
			failed = err
		}
	}
	return failed
}

// carryOut carries out jobs that do not depend on one another. After a failure, or when there was one before, the rest waits for the
// next push.
func (s *State) carryOut(ctx context.Context, jobs []job, failed bool) error {
	var failure atomic.Pointer[error]
	inParallel(len(jobs), func(i int) {
		j := &jobs[i]
		if failed || failure.Load() != nil {
			s.again(j)
			return
		}
		_, err := s.o.Client.Apply(ctx, verb.Options{Token: s.token(j.token)}, j.cmd)
		switch {
		case err == nil:
			s.sync.accept(j.what)
			s.mu.Lock()
			j.done(s)
			s.mu.Unlock()
		case refusal(err):
			s.sync.refuse(s, j.what, err)
		default:
			failure.CompareAndSwap(nil, &err)
			s.again(j)
		}
	})
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *State) again(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.again(s)
}

// registration is the beginning of every registration of this node. With it goes the whole node, in case that the catalog
// does not have it; one that it has is left as it is.
func (s *State) registration() api.Registration {
	n := &s.o.Node
	return api.Registration{
		ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: s.o.Datacenter,
		TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta, SkipNodeUpdate: true,
	}
}

// nodeJob registers the node itself. Like the others that follow, it is called with mu held.
func (s *State) nodeJob(d dirty) []job {
	if !d.node {
		return nil
	}
	r := s.registration()
	r.SkipNodeUpdate = false
	return []job{{
		what: "node " + r.Node, cmd: catalog.Register{Registration: r},
		done:  func(s *State) { s.log.Info("node synced", "node", r.Node, "address", r.Address) },
		again: func(s *State) { s.dirty.node = true },
	}}
}

// serviceJobs registers services, each with those of its checks that have the same token, and removes what is gone.
func (s *State) serviceJobs(d dirty) []job {
	var jobs []job
	for _, id := range slices.Sorted(maps.Keys(d.services)) {
		if sv := s.services[id]; sv != nil {
			jobs = append(jobs, s.serviceJob(id, sv, d))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.goneServices)) {
		if s.services[id] == nil {
			jobs = append(jobs, s.goneServiceJob(id, d.goneServices[id]))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.goneChecks)) {
		gone := d.goneChecks[id]
		_, withService := d.goneServices[gone.service]
		if s.checks[id] == nil && (!withService || s.services[gone.service] != nil) {
			jobs = append(jobs, s.goneCheckJob(id, gone))
		}
	}
	return jobs
}

// serviceJob takes the checks that it carries out of d.
func (s *State) serviceJob(id string, sv *service, d dirty) job {
	r := s.registration()
	r.Service = sv.value
	var with []string
	for checkID, c := range s.byService[id] {
		if _, marked := d.checks[checkID]; marked && c.token == sv.token {
			with = append(with, checkID)
		}
	}
	slices.Sort(with)
	for _, checkID := range with {
		delete(d.checks, checkID)
		r.Checks = append(r.Checks, *s.checks[checkID].value)
	}
	return job{
		what: "service " + id, token: sv.token, cmd: catalog.Register{Registration: r},
		done: func(s *State) {
			s.log.Info("service synced", "service", id, "name", r.Service.Service)
			s.checksSynced(with)
		},
		again: func(s *State) {
			s.dirty.services[id] = struct{}{}
			s.checksAgain(with)
		},
	}
}

// checkJobs registers the checks that have not gone with their services, those of one service together.
func (s *State) checkJobs(d dirty) []job {
	type group struct{ service, token string }
	groups := map[group][]string{}
	var order []group
	for _, id := range slices.Sorted(maps.Keys(d.checks)) {
		c := s.checks[id]
		if c == nil {
			continue
		}
		g := group{c.def.ServiceID, c.token}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], id)
	}
	var jobs []job
	for _, g := range order {
		for ids := range slices.Chunk(groups[g], maxChecks) {
			jobs = append(jobs, s.checkJob(ids, g.token))
		}
	}
	return jobs
}

func (s *State) checkJob(ids []string, token string) job {
	r := s.registration()
	for _, id := range ids {
		r.Checks = append(r.Checks, *s.checks[id].value)
	}
	return job{
		what: "check " + ids[0], token: token, cmd: catalog.Register{Registration: r},
		done:  func(s *State) { s.checksSynced(ids) },
		again: func(s *State) { s.checksAgain(ids) },
	}
}

func (s *State) goneServiceJob(id, token string) job {
	return job{
		what: "service " + id, token: token, cmd: s.deregistration(id, ""),
		done:  func(s *State) { s.log.Info("service deregistered", "service", id) },
		again: func(s *State) { s.dirty.goneServices[id] = token },
	}
}

func (s *State) goneCheckJob(id string, gone goneCheck) job {
	return job{
		what: "check " + id, token: gone.token, cmd: s.deregistration("", id),
		done:  func(s *State) { s.log.Info("check deregistered", "check", id) },
		again: func(s *State) { s.dirty.goneChecks[id] = gone },
	}
}

func (s *State) deregistration(service, check string) verb.Command {
	return catalog.Deregister{Deregistration: api.Deregistration{
		Node: s.o.Node.Node, Datacenter: s.o.Datacenter, ServiceID: service, CheckID: check,
	}}
}

// checksSynced says once of each check that it is in the catalog. Its changes of status have been told before.
func (s *State) checksSynced(ids []string) {
	for _, id := range ids {
		if c := s.checks[id]; c != nil && !c.logged {
			c.logged = true
			s.log.Info("check synced", "check", id, "service", c.def.ServiceID)
		}
	}
}

func (s *State) checksAgain(ids []string) {
	for _, id := range ids {
		s.dirty.checks[id] = struct{}{}
	}
}
