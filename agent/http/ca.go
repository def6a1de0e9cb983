package http

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
)

var caRoutes = []route{
	on("/v1/connect/ca/roots", get(caRoots)),
	on("/v1/connect/ca/configuration", get(caConfiguration), put(caSetConfiguration)),
	on("/v1/agent/connect/ca/roots", get(caRoots)),
}

func caRoots(r *request) (any, error) {
	pem, err := r.yes("pem")
	if err != nil {
		return nil, err
	}
	if pem {
		return rootsPEM(r)
	}
	a, err := r.ask(ca.Roots{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}

// rootsPEM shows the certificates alone, the active one first.
func rootsPEM(r *request) (any, error) {
	a, err := r.peek(ca.Roots{})
	if err != nil {
		return nil, err
	}
	row, err := only(a)
	if err != nil {
		return nil, err
	}
	roots := row.Value.(*api.CARoots)
	var chain []byte
	for _, active := range []bool{true, false} {
		for _, root := range roots.Roots {
			if root.Active == active {
				chain = append(chain, root.RootCert...)
			}
		}
	}
	return &reply{contentType: "application/pem-certificate-chain", body: chain}, nil
}

func caConfiguration(r *request) (any, error) {
	a, err := r.peek(ca.Configuration{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}

func caSetConfiguration(r *request) (any, error) {
	var c ca.SetConfiguration
	if err := r.decode(&c.Config); err != nil {
		return nil, err
	}
	_, err := r.apply(c)
	return nil, err
}
