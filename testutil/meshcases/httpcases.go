package meshcases

import (
	"errors"
	"strings"

	"github.com/parleymesh/parley/api"
)

// HTTPCases is everything that a data plane must do that knows requests.
var HTTPCases = []HTTPCase{
	{"a request passes, and the service is told who calls", "", requestPasses},
	{"a route by path leads to another service", "", routeByPath},
}

func requestPasses(w *HTTPWorld) {
	w.Running()
	got, err := w.Do(Ask{Path: "/x?y=z", Header: []string{"X-Forwarded-Client-Cert: URI=spiffe://forged"}})
	if err != nil || got.Instance != "db-1" || got.Path != "/x?y=z" {
		w.T.Fatalf("got %+v, %v", got, err)
	}
	if xfcc := got.Echo.Header.Get("X-Forwarded-Client-Cert"); !strings.Contains(xfcc, "/svc/web") || strings.Contains(xfcc, "forged") {
		w.T.Errorf("the service is told that %q calls", xfcc)
	}
}

func routeByPath(w *HTTPWorld) {
	w.Instance("api", "api-1")
	w.Running()
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{{
		Match:       &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/api"}},
		Destination: &api.RouteDestination{Service: "api"},
	}}})
	w.Settled(Ask{Path: "/api/x"}, From("api-1"))
	if got, err := w.Do(Ask{Path: "/other"}); err != nil || From("db-1")(got) != nil {
		w.T.Error(errors.Join(err, From("db-1")(got)))
	}
}
