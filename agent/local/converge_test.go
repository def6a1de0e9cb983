package local_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
)

// Whatever is registered here and whatever others do to the catalog, in whatever order, and whether servers answer or not:
// in the end the catalog says what is registered here.
func TestCatalogConverges(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { converge(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func converge(t *testing.T, r *rand.Rand) {
	s := newServers(t)
	dir := mustOpen(t, t.TempDir())
	h := start(t, withDir(s, dir))
	service := func() string { return fmt.Sprintf("s%d", r.IntN(4)) }
	check := func() string { return fmt.Sprintf("c%d", r.IntN(4)) }
	status := func() string { return []string{api.Passing, api.Warning, api.Critical}[r.IntN(3)] }
	ignore := func(error) {} // what is not there is refused, which is not what this test is about
	for range 60 {
		switch r.IntN(13) {
		case 0, 1:
			ignore(h.tryRegister(fmt.Sprintf(`{"Name": "web", "ID": %q, "Port": %d, "Check": {"TTL": "100h", "Status": %q}}`, service(), r.IntN(100), status()), "", r.IntN(2) == 0))
		case 2:
			ignore(h.tryRegister(fmt.Sprintf(`{"Name": "web", "ID": %q, "Port": 1, "Connect": {"SidecarService": {"Port": 7, "Check": {"AliasService": %q}}}}`, service(), service()), "", r.IntN(2) == 0))
		case 3:
			ignore(h.DeregisterService(service()))
		case 4:
			ignore(h.RegisterCheck(checkDef(t, fmt.Sprintf(`{"Name": %q, "ServiceID": %q, "TTL": "100h", "Status": %q}`, check(), service(), status())), ""))
		case 5:
			ignore(h.RegisterCheck(checkDef(t, fmt.Sprintf(`{"Name": %q, "TTL": "100h"}`, check())), ""))
		case 6:
			ignore(h.DeregisterCheck(check()))
		case 7:
			ignore(h.UpdateTTL([]string{check(), "service:" + service()}[r.IntN(2)], status(), fmt.Sprint(r.IntN(3))))
		case 8:
			ignore(h.ServiceMaintenance(service(), r.IntN(2) == 0, "", ""))
		case 9:
			ignore(s.tryBy(registerNode("node-1", api.Registration{
				Service: &api.Service{ID: service(), Service: "stolen"}, Checks: []api.Check{{CheckID: check(), Status: status()}, {CheckID: "ghost"}},
			})))
		case 10:
			ignore(s.tryBy(catalog.Deregister{Deregistration: api.Deregistration{Node: "node-1", ServiceID: []string{service(), ""}[r.IntN(2)]}}))
		case 11:
			s.fail([]error{nil, verb.ErrNoLeader, errors.New("connection reset")}[r.IntN(3)])
		case 12:
			h.stop()
			h = start(t, withDir(s, dir))
			if err := h.LoadDefinitions(nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(r.IntN(4)) * time.Duration(r.IntN(20)) * time.Second)
	}
	s.fail(nil)
	time.Sleep(20 * time.Minute) // outputs too
	s.has(h.all())
	_, services, checks := s.node("node-1")
	for _, mine := range h.Services() {
		if theirs := services[mine.ID]; theirs == nil || theirs.Port != mine.Port || theirs.Service != mine.Service {
			t.Errorf("the catalog has %s, want %s", asText(theirs), asText(mine))
		}
	}
	for _, mine := range h.Checks() {
		if theirs := checks[mine.CheckID]; theirs == nil || theirs.ServiceID != mine.ServiceID || theirs.Output != mine.Output {
			t.Errorf("the catalog has %s, want %s", asText(theirs), asText(mine))
		}
	}
}
