package meshcases

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
)

// route is a route to a service.
func route(to string, m api.RouteHTTPMatch) api.ServiceRoute {
	return api.ServiceRoute{Match: &api.RouteMatch{HTTP: &m}, Destination: &api.RouteDestination{Service: to}}
}

func routesMatch(w *HTTPWorld) {
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"} {
		w.Instance(name, name)
	}
	w.Running()
	header := func(h api.RouteHeaderMatch) api.RouteHTTPMatch {
		return api.RouteHTTPMatch{Header: []api.RouteHeaderMatch{h}}
	}
	query := func(q api.RouteQueryMatch) api.RouteHTTPMatch {
		return api.RouteHTTPMatch{QueryParam: []api.RouteQueryMatch{q}}
	}
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{
		route("a", api.RouteHTTPMatch{PathExact: "/exact"}),
		route("b", api.RouteHTTPMatch{PathPrefix: "/prefix"}),
		route("c", api.RouteHTTPMatch{PathRegex: "/re/[0-9]+/(x|y)"}),
		route("d", api.RouteHTTPMatch{PathExact: "/Any/Case", CaseInsensitive: true}),
		route("e", api.RouteHTTPMatch{PathPrefix: "/Any/", CaseInsensitive: true}),
		route("f", header(api.RouteHeaderMatch{Name: "x-exact", Exact: "1.5"})),
		route("g", header(api.RouteHeaderMatch{Name: "x-prefix", Prefix: "one"})),
		route("h", header(api.RouteHeaderMatch{Name: "x-suffix", Suffix: "two"})),
		route("i", header(api.RouteHeaderMatch{Name: "x-regex", Regex: "v[0-9]"})),
		route("j", header(api.RouteHeaderMatch{Name: "x-present", Present: true})),
		route("k", api.RouteHTTPMatch{PathPrefix: "/invert", Header: []api.RouteHeaderMatch{{Name: "x-not", Exact: "no", Invert: true}}}),
		route("l", query(api.RouteQueryMatch{Name: "exact", Exact: "1"})),
		route("m", query(api.RouteQueryMatch{Name: "regex", Regex: "[a-c]+"})),
		route("n", query(api.RouteQueryMatch{Name: "present", Present: true})),
		route("o", api.RouteHTTPMatch{Methods: []string{"PUT", "DELETE"}}),
		route("p", api.RouteHTTPMatch{
			PathPrefix: "/all", Methods: []string{"GET", "POST"}, QueryParam: []api.RouteQueryMatch{{Name: "q", Exact: "1"}},
			Header: []api.RouteHeaderMatch{{Name: "x-one", Exact: "1"}, {Name: "x-two", Exact: "2"}},
		}),
	}})
	w.Settled(Ask{Path: "/exact"}, From("a"))
	const none = "db-1"
	for _, c := range []struct {
		want string
		ask  Ask
	}{
		{none, Ask{Path: "/"}},
		{"a", Ask{Path: "/exact?x=y"}}, {none, Ask{Path: "/exact/"}}, {none, Ask{Path: "/EXACT"}},
		{"b", Ask{Path: "/prefix"}}, {"b", Ask{Path: "/prefixed/x"}}, {none, Ask{Path: "/pre"}},
		{"c", Ask{Path: "/re/17/x"}}, {"c", Ask{Path: "/re/1/y?z=1"}}, {none, Ask{Path: "/re/17/xx"}}, {none, Ask{Path: "/a/re/17/x"}},
		{"d", Ask{Path: "/aNy/cAsE"}}, {"e", Ask{Path: "/ANY/thing"}},
		{"f", Ask{Header: []string{"X-Exact: 1.5"}}}, {none, Ask{Header: []string{"X-Exact: 1x5"}}},
		{"g", Ask{Header: []string{"X-Prefix: oneself"}}}, {none, Ask{Header: []string{"X-Prefix: none"}}},
		{"h", Ask{Header: []string{"X-Suffix: number two"}}}, {none, Ask{Header: []string{"X-Suffix: twos"}}},
		{"i", Ask{Header: []string{"X-Regex: v7"}}}, {none, Ask{Header: []string{"X-Regex: v77"}}},
		{"j", Ask{Header: []string{"X-Present: "}}},
		{none, Ask{Path: "/invert"}}, {"k", Ask{Path: "/invert", Header: []string{"X-Not: yes"}}},
		{none, Ask{Path: "/invert", Header: []string{"X-Not: no"}}}, // one that is not there is not of another value
		{"l", Ask{Path: "/?exact=1"}}, {none, Ask{Path: "/?exact=11"}},
		{"m", Ask{Path: "/?regex=abcabc"}}, {none, Ask{Path: "/?regex=abd"}},
		{"n", Ask{Path: "/?present"}}, {"n", Ask{Path: "/?present=x"}},
		{"o", Ask{Method: "PUT"}}, {"o", Ask{Method: "DELETE"}}, {none, Ask{Method: "POST"}},
		{"p", Ask{Path: "/all?q=1", Method: "POST", Header: []string{"X-One: 1", "X-Two: 2"}}},
		{none, Ask{Path: "/all?q=1", Method: "POST", Header: []string{"X-One: 1"}}},
		{none, Ask{Path: "/all?q=2", Method: "POST", Header: []string{"X-One: 1", "X-Two: 2"}}},
		{"a", Ask{Path: "/exact", Method: "PUT", Header: []string{"X-Exact: 1.5"}}}, // the first decides
	} {
		got, err := w.Do(c.ask)
		if err != nil || got.Instance != c.want {
			w.T.Errorf("%+v: status %d from %q (%v), want %q", c.ask, got.Status, got.Instance, err, c.want)
		}
	}
}

func rewrites(w *HTTPWorld) {
	w.Running()
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{{
		Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/old/"}},
		Destination: &api.RouteDestination{
			PrefixRewrite: "/new/",
			RequestHeaders: &api.HeaderModifiers{
				Add: map[string]string{"X-Added": "added"}, Set: map[string]string{"X-Set": "set", "X-Caller": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
				Remove: []string{"X-Removed"},
			},
			ResponseHeaders: &api.HeaderModifiers{
				Add: map[string]string{"X-Instance-Too": "added"}, Set: map[string]string{"X-Set": "set"}, Remove: []string{"X-Secret"},
			},
		},
	}}})
	ask := Ask{Path: "/old/x?y=z", Header: []string{"X-Added: own", "X-Set: own", "X-Removed: own"}}
	w.Settled(ask, func(a Answer) error {
		if a.Path != "/new/x?y=z" {
			return fmt.Errorf("path %q", a.Path)
		}
		return nil
	})
	got, err := w.Do(ask)
	if err != nil {
		w.T.Fatal(err)
	}
	h := got.Echo.Header
	if !slices.Equal(h.Values("X-Added"), []string{"own", "added"}) || !slices.Equal(h.Values("X-Set"), []string{"set"}) || h.Get("X-Removed") != "" || h.Get("X-Caller") != "127.0.0.1" {
		w.T.Errorf("the service received %v", h)
	}
	if got.Header.Get("X-Instance-Too") != "added" || got.Header.Get("X-Set") != "set" || got.Header.Get("X-Secret") != "" {
		w.T.Errorf("the caller received %v", got.Header)
	}
	if got, err := w.Do(Ask{Path: "/else", Header: []string{"X-Set: own"}}); err != nil || got.Header.Get("X-Secret") == "" || got.Echo.Header.Get("X-Set") != "own" {
		w.T.Errorf("what no route takes was changed: %+v, %v", got, err)
	}
}

func timeouts(w *HTTPWorld) {
	w.Running()
	w.Write(
		&api.ServiceResolver{Name: "db", RequestTimeout: api.Duration(300 * time.Millisecond)},
		&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{
			{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/short"}}, Destination: &api.RouteDestination{RequestTimeout: api.Duration(100 * time.Millisecond)}},
			{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/long"}}, Destination: &api.RouteDestination{RequestTimeout: api.Duration(3 * time.Second)}},
			{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: "/idle"}}, Destination: &api.RouteDestination{
				RequestTimeout: api.Duration(3 * time.Second), IdleTimeout: api.Duration(100 * time.Millisecond),
			}},
		}},
	)
	slow := []string{AskDelay + ": 1s"}
	w.Settled(Ask{Path: "/short", Header: slow}, Status(http.StatusGatewayTimeout))
	for path, want := range map[string]int{"/long": http.StatusOK, "/idle": http.StatusGatewayTimeout, "/": http.StatusGatewayTimeout} {
		began := time.Now()
		got, err := w.Do(Ask{Path: path, Header: slow})
		if err != nil || got.Status != want {
			w.T.Errorf("%s: status %d, %v after %s, want %d", path, got.Status, err, time.Since(began), want)
		}
	}
}

func retries(w *HTTPWorld) {
	w.Running()
	at := func(path string, d api.RouteDestination) api.ServiceRoute {
		return api.ServiceRoute{Match: &api.RouteMatch{HTTP: &api.RouteHTTPMatch{PathPrefix: path}}, Destination: &d}
	}
	w.Write(&api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{
		at("/codes", api.RouteDestination{NumRetries: 3, RetryOnStatusCodes: []uint32{418, 429}}),
		at("/5xx", api.RouteDestination{NumRetries: 2, RetryOn: []string{"5xx"}}),
		at("/connect", api.RouteDestination{RetryOnConnectFailure: true}),
	}})
	w.Settled(Ask{Path: "/codes", Header: []string{AskStatus + ": 429", AskOnce + ": first"}}, From("db-1"))
	for _, c := range []struct {
		path     string
		status   int
		once     bool
		want     int
		requests int64
	}{
		{"/codes", 418, true, 200, 2},
		{"/codes", 418, false, 418, 4},
		{"/codes", 503, false, 503, 1},
		{"/5xx", 503, true, 200, 2},
		{"/5xx", 500, false, 500, 3},
		{"/connect", 503, false, 503, 1},
		{"/", 503, false, 503, 1},
	} {
		ask := Ask{Path: c.path, Header: []string{fmt.Sprintf("%s: %d", AskStatus, c.status)}}
		if c.once {
			ask.Header = append(ask.Header, AskOnce+": "+c.path)
		}
		before := w.App.Requests.Load()
		got, err := w.Do(ask)
		if n := w.App.Requests.Load() - before; err != nil || got.Status != c.want || n != c.requests {
			w.T.Errorf("%+v: status %d after %d requests, %v", c, got.Status, n, err)
		}
	}
}

func splits(w *HTTPWorld) {
	w.Instance("db-new", "new")
	w.Running()
	legs := func(old, new float32) *api.ServiceSplitter {
		return &api.ServiceSplitter{Name: "db", Splits: []api.ServiceSplit{
			{Weight: old, ResponseHeaders: &api.HeaderModifiers{Set: map[string]string{"X-Leg": "old"}}},
			{Weight: new, Service: "db-new", RequestHeaders: &api.HeaderModifiers{Set: map[string]string{"X-Leg": "new"}}},
		}}
	}
	w.Write(legs(0, 100))
	w.Settled(Ask{}, From("new"))
	if got, err := w.Do(Ask{}); err != nil || got.Echo.Header.Get("X-Leg") != "new" || got.Header.Get("X-Leg") != "" {
		w.T.Errorf("got %+v, %v", got, err)
	}
	w.Write(legs(75, 25))
	w.Settled(Ask{}, From("db-1"))
	const n = 2000
	got := w.Requests(n, Ask{})
	// Five standard deviations, so that a wrong weight shows and chance does not.
	if off, most := math.Abs(float64(got["new"])-n/4), 5*math.Sqrt(n*0.25*0.75); off > most {
		w.T.Errorf("%v, want a quarter for new", got)
	}
	w.Write(legs(100, 0))
	w.Settled(Ask{}, func(a Answer) error {
		if a.Instance != "db-1" || a.Header.Get("X-Leg") != "old" {
			return fmt.Errorf("got %+v", a)
		}
		return nil
	})
	w.Write(legs(99.99, 0.01)) // the least there is
	w.Settled(Ask{}, Status(http.StatusOK))
}

func subsets(w *HTTPWorld) {
	w.Instance("api", "v1-1", "version", "1")
	w.Instance("api", "v2-1", "version", "2")
	w.Instance("api", "v2-2", "version", "2")
	w.Running()
	subset := func(path, subset string) api.ServiceRoute {
		r := route("api", api.RouteHTTPMatch{PathPrefix: path})
		r.Destination.ServiceSubset = subset
		return r
	}
	resolver := &api.ServiceResolver{Name: "api", DefaultSubset: "v1", Subsets: map[string]api.Subset{
		"v1": {Filter: "Service.Meta.version == 1"}, "v2": {Filter: "Service.Meta.version == 2"}, "none": {Filter: "Service.Meta.version == 3"},
	}}
	w.Write(resolver, &api.ServiceRouter{Name: "db", Routes: []api.ServiceRoute{subset("/two", "v2"), subset("/none", "none"), subset("/default", "")}})
	w.Settled(Ask{Path: "/default"}, From("v1-1"))
	if got := w.Requests(20, Ask{Path: "/two"}); got["v2-1"] == 0 || got["v2-2"] == 0 || len(got) != 2 {
		w.T.Errorf("v2 was answered by %v", got)
	}
	if got, err := w.Do(Ask{Path: "/none"}); err != nil || got.Status != http.StatusServiceUnavailable {
		w.T.Errorf("a subset without instances answered %+v, %v", got, err)
	}
	w.Check("v2-1", api.Critical)
	w.Within(slack, "the critical instance to be left alone", func() error {
		if got := w.Requests(20, Ask{Path: "/two"}); got["v2-1"] > 0 {
			return fmt.Errorf("v2 was answered by %v", got)
		}
		return nil
	})
}

func redirected(w *HTTPWorld) {
	w.Instance("other", "other-1")
	w.Running()
	w.Write(&api.ServiceResolver{Name: "db", Redirect: &api.ResolverRedirect{Service: "other"}})
	w.Settled(Ask{}, From("other-1"))
	w.Write(&api.ServiceResolver{Name: "db"})
	w.Settled(Ask{}, From("db-1"))
	if got := w.Requests(20, Ask{}); len(got) != 1 {
		w.T.Errorf("answered by %v", got)
	}
}
