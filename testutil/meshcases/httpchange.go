package meshcases

import (
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

func changesUnderLoad(w *HTTPWorld) {
	w.Instance("db", "db-2", "version", "2")
	w.Instance("api", "api-1")
	w.Instance("backup", "backup-1")
	w.Running()
	load := w.StartLoad()
	step := func(entries ...api.ConfigEntry) {
		w.Write(entries...)
		w.More(load)
	}
	two := map[string]api.Subset{"two": {Filter: "Service.Meta.version == 2"}}
	for range 3 {
		step(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{route("api", api.RouteHTTPMatch{PathPrefix: "/"})}})
		step(&api.ServiceSplitter{Name: "db", Splits: []api.ServiceSplit{{Weight: 50}, {Weight: 50, Service: "api"}}})
		step(&api.ServiceRouter{Name: "db"})
		step(&api.ServiceSplitter{Name: "db", Splits: []api.ServiceSplit{{Weight: 0.01}, {Weight: 99.99, Service: "api"}}})
		step(&api.ServiceSplitter{Name: "db", Splits: []api.ServiceSplit{{Weight: 100}}}, &api.ServiceResolver{Name: "db", Subsets: two, DefaultSubset: "two"})
		step(&api.ServiceResolver{Name: "db", Subsets: two, Failover: map[string]api.ResolverFailover{"*": {Service: "backup"}}})
		step(&api.ServiceResolver{Name: "db", Subsets: two, Failover: map[string]api.ResolverFailover{"*": {Targets: []api.FailoverTarget{{Service: "api"}, {Service: "backup"}}}}})
		w.Check("db-2", api.Critical)
		w.More(load)
		w.Check(DBProxy, api.Critical)
		w.More(load)
		w.Check("db-2", api.Passing)
		w.Check(DBProxy, api.Passing)
		w.More(load)
		step(&api.ServiceResolver{Name: "db", Redirect: &api.ResolverRedirect{Service: "api"}})
		step(&api.ServiceResolver{Name: "db"})
	}
	load.NoneFailed(w.T)
}

func clusterChangesUnderLoad(w *HTTPWorld) {
	w.Instance("db", "db-2")
	w.Running()
	w.Write()
	load := w.StartLoad()
	for i := range 12 {
		w.configure(snapshot.Config{"connect_timeout_ms": 1000 + i, "limits": map[string]any{"max_connections": 1000 + i}})
		w.More(load)
		w.Write(&api.ServiceResolver{Name: "db", LoadBalancer: &api.LoadBalancer{
			Policy: []string{api.BalanceLeastRequest, api.BalanceRandom, api.BalanceRingHash, api.BalanceMaglev}[i%4],
		}})
		w.More(load)
		w.Rules(Allow("web"), Allow(fmt.Sprint("other-", i)))
		w.More(load)
	}
	load.NoneFailed(w.T)
}

func rejectedRouteStays(w *HTTPWorld) {
	w.Instance("api", "api-1")
	w.Running()
	good := route("api", api.RouteHTTPMatch{PathPrefix: "/api"})
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{good}})
	w.Settled(Ask{Path: "/api"}, From("api-1"))
	bad := good
	bad.Destination = &api.RouteDestination{Service: "db", RequestHeaders: &api.HeaderModifiers{Set: map[string]string{"X": "%NO_SUCH_THING%"}}}
	load := w.StartLoad()
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{bad}})
	w.More(load)
	if got, err := w.Do(Ask{Path: "/api"}); err != nil || From("api-1")(got) != nil {
		w.T.Errorf("got %+v, %v", got, err)
	}
	w.Write(&api.ServiceRouter{Name: "db"})
	w.Settled(Ask{Path: "/api"}, From("db-1"))
	load.NoneFailed(w.T)
}
