package http

import (
	"context"

	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

var statusRoutes = []route{
	on("/v1/status/leader", get(leader)),
	on("/v1/status/peers", get(peers)),
	on("/v1/catalog/datacenters", get(datacenters)),
}

// status asks the nearest server: these questions are asked above all when there is no leader.
func (r *request) status(q verb.Query) ([]operator.Address, error) {
	return about[operator.Address](r, q)
}

func leader(r *request) (any, error) {
	found, err := r.status(operator.Leader{})
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Addr, nil
}

func peers(r *request) (any, error) {
	found, err := r.status(operator.Peers{})
	if err != nil {
		return nil, err
	}
	addrs := []string{}
	for _, a := range found {
		addrs = append(addrs, a.Addr)
	}
	return addrs, nil
}

// datacenters lists those that the servers know, the nearest first.
func datacenters(r *request) (any, error) { return orError(r.datacenters(r.Context())) }

func (r *request) datacenters(context.Context) ([]string, error) {
	found, err := about[operator.Datacenter](r, operator.Datacenters{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, d := range found {
		names = append(names, d.Name)
	}
	return names, nil
}

// orError makes a value and an error what a handler returns.
func orError[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
