package http

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/server/verb"
)

var queryRoutes = []route{
	on("/v1/query", get(queryList), post(queryCreate)),
	on("/v1/query/", get(queryGet), put(queryUpdate), del(queryDelete), unlisted(post(queryRefuse))),
}

func queryList(r *request) (any, error) { return list[*api.PreparedQuery](r, query.List{}) }

// queryCreate makes a query.
func queryCreate(r *request) (any, error) {
	c := query.Create{}
	if err := r.decode(&c.PreparedQuery); err != nil {
		return nil, err
	}
	result, err := r.apply(c)
	if err != nil {
		return nil, err
	}
	var id string
	if err := result.Decode(&id); err != nil {
		return nil, err
	}
	return struct{ ID string }{id}, nil
}

// queryVerb splits the path into an id or name and what is to be done with it.
func (r *request) queryVerb() (idOrName, verb string) {
	for _, verb := range []string{"execute", "explain"} {
		if name, ok := strings.CutSuffix(r.name, "/"+verb); ok {
			return name, verb
		}
	}
	return r.name, ""
}

var errNoQuery = &api.Error{Status: http.StatusNotFound, Message: "Query not found"}

func queryGet(r *request) (any, error) {
	name, verb := r.queryVerb()
	switch verb {
	case "execute":
		return queryExecute(r, name)
	case "explain":
		return queryExplain(r, name)
	}
	q := query.Get{ID: name}
	if err := q.Validate(); err != nil {
		return nil, r.ofNoMoment(err)
	}
	a, err := r.discover(q)
	if err != nil {
		return nil, err
	}
	if len(a.Rows) == 0 {
		return nil, r.ofNoMoment(errNoQuery)
	}
	return rows(a.Rows), nil
}

// ofNoMoment refuses a query. Like every answer to one, it tells of which moment it is: of none.
func (r *request) ofNoMoment(err error) error {
	r.showMeta(verb.Answer{})
	r.w.Header().Del("X-Consul-Effective-Consistency")
	return err
}

func queryUpdate(r *request) (any, error) {
	if _, verb := r.queryVerb(); verb != "" {
		return queryRefuse(r)
	}
	c := query.Update{}
	if err := r.decode(&c.PreparedQuery); err != nil {
		return nil, err
	}
	c.ID = r.name
	_, err := r.apply(c)
	return nil, err
}

func queryDelete(r *request) (any, error) {
	if _, verb := r.queryVerb(); verb != "" {
		return queryRefuse(r)
	}
	_, err := r.apply(query.Delete{ID: r.name})
	return nil, err
}

// queryRefuse refuses a method. What can be done with a query has others than the query itself.
func queryRefuse(r *request) (any, error) {
	allow := r.s.routes["/v1/query/"].allow()
	if _, verb := r.queryVerb(); verb != "" {
		allow = http.MethodGet
	}
	r.w.Header().Set("Allow", allow)
	return nil, api.Errorf(http.StatusMethodNotAllowed, "method %s not allowed", r.Method)
}

// queryMeta is what answers that nobody can wait for tell of themselves in their body.
type queryMeta struct {
	Backend               int
	ConsistencyLevel      string
	Index                 uint64
	KnownLeader           bool
	LastContact           int64 // nanoseconds
	NotModified           bool
	ResultsFilteredByACLs bool
}

// askOnce carries out a query that nobody can wait for.
func (r *request) askOnce(q verb.Query) (verb.Answer, queryMeta, error) {
	o, err := r.reading()
	if err != nil {
		return verb.Answer{}, queryMeta{}, err
	}
	o.MinIndex = 0
	a, err := r.s.opts.Client.Query(r.Context(), o, q)
	if err != nil {
		return a, queryMeta{}, err
	}
	if len(a.Rows) == 0 {
		return a, queryMeta{}, r.ofNoMoment(errNoQuery)
	}
	a.Index = 1
	r.showMeta(a)
	level := levelOf(o.Mode)
	r.w.Header().Set("X-Consul-Effective-Consistency", level)
	return a, queryMeta{
		ConsistencyLevel: level, Index: a.Index, KnownLeader: a.KnownLeader, LastContact: int64(a.LastContact), ResultsFilteredByACLs: a.Filtered,
	}, nil
}

// queryExplain shows the query that a name means.
func queryExplain(r *request, name string) (any, error) {
	a, meta, err := r.askOnce(query.Explain{Query: name})
	if err != nil {
		return nil, err
	}
	return struct {
		Query any
		queryMeta
	}{a.Rows[0].Value, meta}, nil
}

// queryExecute finds what a query is about.
func queryExecute(r *request, name string) (any, error) {
	q := query.Execute{Query: name, Near: r.param("near"), Agent: r.s.opts.Node}
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	if text := r.param("connect"); text != "" {
		if q.Connect, err = strconv.ParseBool(text); err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "Invalid value for ?connect")
		}
	}
	a, meta, err := r.askOnce(q)
	if err != nil {
		return nil, err
	}
	asked, entries := query.Split(a.Rows)
	place, failovers := r.datacenter(), 0
	if len(entries) == 0 && asked.FailsOver() {
		o, err := r.reading()
		if err != nil {
			return nil, err
		}
		var found []*verb.Row
		if found, failovers = query.Failover(r.Context(), r.s.opts.Client, o, asked, place, r.datacenters); found != nil {
			asked, entries = query.Split(found)
			place = asked.Datacenter
		}
	}
	if asked.Near == "" {
		// They are equals: whoever takes the first is not to be one of many who do.
		entries = slices.Clone(entries)
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	}
	if limit > 0 && len(entries) > limit {
		entries = entries[:limit]
	}
	return struct {
		api.QueryResult
		PeerName string
		queryMeta
	}{api.QueryResult{Service: asked.Service, Nodes: entries, DNS: asked.DNS, Datacenter: place, Failovers: failovers}, "", meta}, nil
}

// limit reads how many elements are wanted; 0: all.
func (r *request) limit() (int, error) {
	text := r.param("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, api.Errorf(http.StatusBadRequest, "Unexpected non-integer limit %q", text)
	}
	return n, nil
}
