package http

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/filter"
	"github.com/parleymesh/parley/server/verb"
)

// What a reader wants of a query's rows is chosen here, from rows that all readers share. An answer's slice is never
// written to.

// discover carries out a query of the catalog or of health: such answers also tell in which mode they were made.
func (r *request) discover(q verb.Query) (verb.Answer, error) {
	o, err := r.reading()
	if err != nil {
		return verb.Answer{}, err
	}
	if o.Mode == verb.Default && r.s.opts.DiscoveryMaxStale > 0 && !r.flag("leader") {
		o.Mode, o.MaxStale = verb.Stale, r.s.opts.DiscoveryMaxStale
	}
	ask := r.askAs
	if r.flag("cached") && !r.flag("stale") && cacheable(q) {
		ask = r.askCached
	}
	a, err := ask(o, q)
	if err == nil {
		r.w.Header().Set("X-Consul-Effective-Consistency", levelOf(o.Mode))
	}
	return a, err
}

// levelOf is what the public API calls a mode.
func levelOf(m verb.Mode) string {
	return [...]string{verb.Default: "leader", verb.Stale: "stale", verb.Consistent: "consistent"}[m]
}

// cacheable tells whether the public API has answers to such a query from a cache: those about one service.
func cacheable(q verb.Query) bool {
	switch q := q.(type) {
	case catalog.Health:
		return true
	case catalog.Instances:
		return q.Name != ""
	}
	return false
}

// list carries out a query of the catalog or of health whose values are of type T and returns the rows that the request's
// filter and all of keep want.
func list[T any](r *request, q verb.Query, keep ...func(T) bool) (rows, error) {
	return listBy(r, r.discover, q, keep...)
}

// listBy is list for what is asked in another way.
func listBy[T any](r *request, ask func(verb.Query) (verb.Answer, error), q verb.Query, keep ...func(T) bool) (rows, error) {
	keep, err := withFilter(r, keep)
	if err != nil {
		return nil, err
	}
	a, err := ask(q)
	if err != nil {
		return nil, err
	}
	return chosen(a.Rows, keep), nil
}

// chosen returns the rows that all of keep want.
func chosen[T any](all []*verb.Row, keep []func(T) bool) rows {
	keep = slices.DeleteFunc(keep, func(k func(T) bool) bool { return k == nil })
	if len(keep) == 0 {
		return all
	}
	out := make(rows, 0, len(all))
	for _, row := range all {
		v := row.Value.(T)
		if !slices.ContainsFunc(keep, func(k func(T) bool) bool { return !k(v) }) {
			out = append(out, row)
		}
	}
	return out
}

// withFilter adds what the request's filter wants of values of type T.
func withFilter[T any](r *request, keep []func(T) bool) ([]func(T) bool, error) {
	expression := r.param("filter")
	if expression == "" {
		return keep, nil
	}
	f, err := filter.Compile(expression, reflect.TypeFor[T]())
	if err != nil {
		return nil, r.badFilter(err)
	}
	return append(keep, func(v T) bool { return f.Match(v) }), nil
}

// badFilter refuses a query's filter. Like every answer to a query, it tells of which moment it is: of none.
func (r *request) badFilter(err error) error {
	r.showMeta(verb.Answer{})
	return api.Errorf(http.StatusInternalServerError, "Failed to create boolean expression evaluator: %v", err)
}

// nodeMeta returns what ?node-meta=key:value, which may be given several times, wants of a node's metadata; nil: all.
func (r *request) nodeMeta() func(meta map[string]string) bool {
	want := r.params["node-meta"]
	if len(want) == 0 {
		return nil
	}
	return func(meta map[string]string) bool {
		for _, pair := range want {
			key, value, _ := strings.Cut(pair, ":")
			if have, ok := meta[key]; !ok || have != value {
				return false
			}
		}
		return true
	}
}

// chooser returns what the request's filter wants of values that are not rows of a query: those of this agent.
func chooser[T any](r *request) (func(T) bool, error) {
	expression := r.param("filter")
	if expression == "" {
		return func(T) bool { return true }, nil
	}
	f, err := filter.Compile(expression, reflect.TypeFor[T]())
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Failed to create boolean expression evaluator: %v", err)
	}
	return func(v T) bool { return f.Match(v) }, nil
}
