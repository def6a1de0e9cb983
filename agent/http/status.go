package http

import "context"

var statusRoutes = []route{
	on("/v1/status/leader", get(leader)),
	on("/v1/status/peers", get(peers)),
	on("/v1/catalog/datacenters", get(datacenters)),
}

func leader(r *request) (any, error) {
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	return orError(r.s.opts.Raft.Leader(r.Context(), o))
}

func peers(r *request) (any, error) {
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	return orError(r.s.opts.Raft.Peers(r.Context(), o))
}

func datacenters(r *request) (any, error) {
	list := r.s.opts.Datacenters
	if list == nil {
		list = func(context.Context) ([]string, error) { return []string{r.s.opts.Datacenter}, nil }
	}
	return orError(list(r.Context()))
}

// orError makes a value and an error what a handler returns.
func orError[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
