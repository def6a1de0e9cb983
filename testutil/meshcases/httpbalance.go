package meshcases

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

func failsOver(w *HTTPWorld) {
	w.Instance("db", "db-2")
	w.Instance("backup", "backup-1")
	w.Instance("last", "last-1")
	w.Running()
	w.Write(&api.ServiceResolver{Name: "db", Failover: map[string]api.ResolverFailover{"*": {Targets: []api.FailoverTarget{
		{Service: "backup"}, {Service: "last"},
	}}}})
	w.Settled(Ask{}, func(a Answer) error {
		if a.Instance != "db-1" && a.Instance != "db-2" {
			return fmt.Errorf("%q answers, with status %d", a.Instance, a.Status)
		}
		return nil
	})
	load := w.StartLoad()
	w.More(load)
	w.Check(DBProxy, api.Critical)
	w.Within(slack, "the other instance to take all", func() error {
		if got := w.Requests(10, Ask{}); got["db-2"] != 10 {
			return fmt.Errorf("answered by %v", got) // and the backup none: an instance is there
		}
		return nil
	})
	w.Check("db-2", api.Critical)
	w.Settled(Ask{}, From("backup-1"))
	w.Check("backup-1", api.Critical)
	w.Settled(Ask{}, From("last-1"))
	w.Check("db-2", api.Passing)
	w.Settled(Ask{}, From("db-2"))
	if got := w.Requests(20, Ask{}); got["db-2"] != 20 {
		w.T.Errorf("answered by %v", got)
	}
	load.NoneFailed(w.T)
}

func hashes(w *HTTPWorld) {
	for i := range 4 {
		w.Instance("api", fmt.Sprint("api-", i))
	}
	w.Running()
	for i, policy := range []string{api.BalanceRingHash, api.BalanceMaglev, api.BalanceRingHash} {
		var failover map[string]api.ResolverFailover
		if i == 2 { // the first target of several
			failover = map[string]api.ResolverFailover{"*": {Service: "db"}}
		}
		write := func(p api.HashPolicy) {
			w.Write(
				&api.ServiceResolver{Name: "db", Redirect: &api.ResolverRedirect{Service: "api"}},
				&api.ServiceResolver{Name: "api", LoadBalancer: &api.LoadBalancer{
					Policy: policy, HashPolicies: []api.HashPolicy{p}, RingHashConfig: &api.RingHashConfig{MinimumRingSize: 2048},
				}, Failover: failover},
			)
		}
		sticks := func(what string, ask func(user int) Ask) {
			w.Within(slack, what+" to stick", func() error {
				reached := map[string]bool{}
				for user := range 12 {
					first, err := w.Do(ask(user))
					if err != nil || first.Status != http.StatusOK {
						return fmt.Errorf("status %d, %v", first.Status, err)
					}
					reached[first.Instance] = true
					if got := w.Requests(5, ask(user)); got[first.Instance] != 5 {
						return fmt.Errorf("user %d was answered by %v", user, got)
					}
				}
				if len(reached) < 2 {
					return fmt.Errorf("all were answered by %v", reached)
				}
				return nil
			})
		}
		write(api.HashPolicy{Field: api.HashHeader, FieldValue: "x-user"})
		sticks(policy+" by header", func(user int) Ask { return Ask{Header: []string{fmt.Sprint("X-User: ", user)}} })
		write(api.HashPolicy{Field: api.HashQuery, FieldValue: "user"})
		sticks(policy+" by query", func(user int) Ask { return Ask{Path: fmt.Sprint("/?user=", user)} })
		write(api.HashPolicy{Field: api.HashCookie, FieldValue: "user", CookieConfig: &api.CookieConfig{TTL: api.Nanoseconds(time.Hour), Path: "/x"}})
		sticks(policy+" by cookie", func(user int) Ask { return Ask{Header: []string{fmt.Sprint("Cookie: user=", user)}} })
		if got, err := w.Do(Ask{}); err != nil || got.Header.Get("Set-Cookie") == "" {
			w.T.Errorf("%s: no cookie in %v, %v", policy, got.Header, err)
		}
		write(api.HashPolicy{SourceIP: true})
		w.Within(slack, policy+" by address to stick", func() error {
			if got := w.Requests(20, Ask{}); len(got) != 1 {
				return fmt.Errorf("answered by %v", got)
			}
			return nil
		})
	}
}

func policies(w *HTTPWorld) {
	for i := range 3 {
		w.Instance("api", fmt.Sprint("api-", i))
	}
	w.Running()
	for _, b := range []*api.LoadBalancer{
		nil, {Policy: api.BalanceRoundRobin}, {Policy: api.BalanceRandom}, {Policy: api.BalanceLeastRequest},
		{Policy: api.BalanceLeastRequest, LeastRequestConfig: &api.LeastRequestConfig{ChoiceCount: 3}},
		{Policy: api.BalanceRingHash}, {Policy: api.BalanceRingHash, RingHashConfig: &api.RingHashConfig{MaximumRingSize: 4096}}, {Policy: api.BalanceMaglev},
	} {
		w.Write(&api.ServiceResolver{Name: "api", LoadBalancer: b}, &api.ServiceResolver{Name: "db", Redirect: &api.ResolverRedirect{Service: "api"}})
		w.Within(slack, fmt.Sprintf("all instances to be called by %+v", b), func() error {
			if got := w.Requests(40, Ask{}); len(got) != 3 {
				return fmt.Errorf("answered by %v", got)
			}
			return nil
		})
	}
}

// configure gives web's upstream settings.
func (w *HTTPWorld) configure(c snapshot.Config) {
	w.Change(WebProxy, func(s *snapshot.Snapshot) { s.Upstreams[0].Config = c })
}

func limits(w *HTTPWorld) {
	w.Running()
	w.configure(snapshot.Config{"limits": map[string]any{"max_connections": 10, "max_pending_requests": 10, "max_concurrent_requests": 1.0}})
	slow := Ask{Header: []string{AskDelay + ": 300ms"}}
	w.Within(slack, "one of two requests to be refused", func() error {
		status := make(chan int, 2)
		for range 2 {
			go func() {
				got, _ := w.Do(slow)
				status <- got.Status
			}()
		}
		a, b := <-status, <-status
		if min(a, b) != http.StatusOK || max(a, b) != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d and %d", a, b)
		}
		return nil
	})
	w.configure(nil)
	w.Settled(Ask{}, From("db-1"))
}

func ejects(w *HTTPWorld) {
	bad := w.Instance("db", "db-2")
	w.Running()
	w.configure(snapshot.Config{"passive_health_check": map[string]any{
		"interval": "50ms", "max_failures": 3, "enforcing_consecutive_5xx": 100.0, "max_ejection_percent": 100, "base_ejection_time": "600s",
	}})
	w.Write()
	w.Within(slack, "both to be called", func() error {
		if got := w.Requests(10, Ask{}); len(got) != 2 {
			return fmt.Errorf("answered by %v", got)
		}
		return nil
	})
	bad.Status.Store(http.StatusInternalServerError)
	w.Within(slack, "the bad one to be left alone", func() error {
		for range 20 {
			got, err := w.Do(Ask{})
			if err != nil || got.Status != http.StatusOK {
				return errors.Join(err, fmt.Errorf("status %d from %q", got.Status, got.Instance))
			}
		}
		return nil
	})
}
