package http

import (
	"net/http"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

var intentionRoutes = []route{
	on("/v1/connect/intentions", get(intentionList), post(intentionCreate)),
	on("/v1/connect/intentions/exact", get(intentionExact), put(intentionUpsert), del(intentionDelete)),
	on("/v1/connect/intentions/match", get(intentionMatch)),
	on("/v1/connect/intentions/check", get(intentionCheck)),
	on("/v1/connect/intentions/", get(intentionByID), put(intentionUpdate), del(intentionDeleteByID)),
}

func intentionList(r *request) (any, error) {
	return orError(listBy[*api.Intention](r, r.ask, intention.List{}))
}

// decodeIntention reads the body of a change.
func (r *request) decodeIntention(x *api.Intention) error {
	return r.decodeAs(http.StatusInternalServerError, "Failed to decode request body", x)
}

func intentionCreate(r *request) (any, error) {
	var c intention.Create
	if err := r.decodeIntention(&c.Intention); err != nil {
		return nil, err
	}
	result, err := r.apply(c)
	if err != nil {
		return nil, err
	}
	var made struct{ ID string }
	if err := result.Decode(&made.ID); err != nil {
		return nil, err
	}
	return made, nil
}

var errNoIntention = &api.Error{Status: http.StatusNotFound, Message: "Intention not found"}

func intentionByID(r *request) (any, error) {
	a, err := r.peek(intention.ByID{ID: r.name})
	if err != nil {
		return nil, err
	}
	if len(a.Rows) == 0 {
		return nil, errNoIntention
	}
	return a.Rows[0], nil
}

func intentionUpdate(r *request) (any, error) {
	var c intention.Update
	if err := r.decodeIntention(&c.Intention); err != nil {
		return nil, err
	}
	c.ID = r.name
	if _, err := r.apply(c); err != nil {
		return nil, err
	}
	return struct{ ID string }{r.name}, nil
}

func intentionDeleteByID(r *request) (any, error) {
	_, err := r.apply(intention.DeleteByID{ID: r.name})
	return orError(true, err)
}

// required reads a query parameter that must be there.
func (r *request) required(name string) (string, error) {
	if v := r.param(name); v != "" {
		return v, nil
	}
	return "", api.Errorf(http.StatusInternalServerError, "required query parameter '%s' not set", name)
}

// between reads the two names that an intention stands between.
func (r *request) between() (source, destination string, err error) {
	if source, err = r.serviceParam("source"); err != nil {
		return "", "", err
	}
	destination, err = r.serviceParam("destination")
	return source, destination, err
}

// serviceParam reads a service's name, which may be written with its partition and namespace before it.
func (r *request) serviceParam(param string) (string, error) {
	text, err := r.required(param)
	if err != nil {
		return "", err
	}
	return plainName(param, text)
}

// plainName takes the default tenant off a name, and refuses another.
func plainName(param, text string) (string, error) {
	parts := strings.Split(text, "/")
	for _, tenant := range parts[:len(parts)-1] {
		if len(parts) > 3 || !defaultTenant(tenant) {
			return "", api.Errorf(http.StatusBadRequest, "Invalid query parameter: %q is %q, but only the namespace and partition %q exist in this release",
				param, text, api.DefaultTenant)
		}
	}
	return parts[len(parts)-1], nil
}

func intentionExact(r *request) (any, error) {
	source, destination, err := r.between()
	if err != nil {
		return nil, err
	}
	a, err := r.peek(intention.Exact{Source: source, Destination: destination})
	if err != nil {
		return nil, err
	}
	if len(a.Rows) == 0 {
		return nil, errNoIntention
	}
	return a.Rows[0], nil
}

func intentionUpsert(r *request) (any, error) {
	source, destination, err := r.between()
	if err != nil {
		return nil, err
	}
	var c intention.Upsert
	if err := r.decodeIntention(&c.Intention); err != nil {
		return nil, err
	}
	for _, n := range []struct{ field, have, want string }{
		{"SourceName", c.SourceName, source}, {"DestinationName", c.DestinationName, destination},
	} {
		if n.have != "" && n.have != n.want {
			return nil, api.Errorf(http.StatusBadRequest, "%s is %q in the body, but %q in the query string", n.field, n.have, n.want)
		}
	}
	c.SourceName, c.DestinationName = source, destination
	_, err = r.apply(c)
	return orError(true, err)
}

func intentionDelete(r *request) (any, error) {
	source, destination, err := r.between()
	if err != nil {
		return nil, err
	}
	_, err = r.apply(intention.Delete{Source: source, Destination: destination})
	return orError(true, err)
}

// intentionMatch lists what concerns each of some names, in the order in which it is tried.
func intentionMatch(r *request) (any, error) {
	by, err := r.required("by")
	if err != nil {
		return nil, err
	}
	if by != api.MatchSource && by != api.MatchDestination {
		return nil, api.Errorf(http.StatusInternalServerError, "'by' parameter must be one of 'source' or 'destination'")
	}
	if _, err := r.required("name"); err != nil {
		return nil, err
	}
	ask := r.discover
	if len(r.params["name"]) > 1 {
		if ask, err = r.afterAnyIntention(); err != nil {
			return nil, err
		}
	}
	out := map[string]rows{}
	for _, text := range r.params["name"] {
		name, err := plainName("name", text)
		if err != nil {
			return nil, err
		}
		a, err := ask(intention.Match{By: by, Name: name})
		if err != nil {
			return nil, err
		}
		out[text] = a.Rows
	}
	return out, nil
}

// afterAnyIntention waits for several names at once, by waiting for any intention to change, and returns how to ask for each
// of them then: at the leader, whose answers are never older than what was waited for.
func (r *request) afterAnyIntention() (func(verb.Query) (verb.Answer, error), error) {
	if _, err := r.discover(intention.List{}); err != nil {
		return nil, err
	}
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	o.MinIndex = 0
	if o.Mode == verb.Stale {
		o.Mode = verb.Default
	}
	return func(q verb.Query) (verb.Answer, error) { return r.s.opts.Client.Query(r.Context(), o, q) }, nil
}

func intentionCheck(r *request) (any, error) {
	if t := r.param("source-type"); t != "" && t != api.SourceConsul {
		return nil, api.Errorf(http.StatusInternalServerError, "unsupported SourceType: %q", t)
	}
	source, destination, err := r.between()
	if err != nil {
		return nil, err
	}
	a, err := r.peek(intention.Check{Source: source, Destination: destination})
	if err != nil {
		return nil, err
	}
	row, err := only(a)
	if err != nil || r.flag("explain") {
		return orError(row, err)
	}
	// Whoever does not ask for the reason is answered as the public API does.
	return map[string]bool{"Allowed": row.Value.(*api.Decision).Allowed}, nil
}
