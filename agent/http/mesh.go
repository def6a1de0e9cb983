package http

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/parleymesh/parley/api"
)

// Leaves holds the certificates of this host's services.
type Leaves interface {
	// Leaf returns the service's current certificate with its key, which is signed at the first call, and a channel that is
	// closed when another has replaced it, whose ModifyIndex is higher. The token must have service:write, which is judged where certificates are
	// signed.
	Leaf(ctx context.Context, service, token string) (leaf api.Leaf, replaced <-chan struct{}, err error)
}

// Proxies holds what this host's sidecars need to know.
type Proxies interface {
	// Snapshot waits until the proxy's snapshot has another hash than the given one, which is empty for none, and returns
	// it encoded as JSON, with its hash. When ctx ends first it returns the same as before, or ctx's error when there was
	// none. It holds the private key, so the token must have service:write on the proxy's service, or the error has
	// status 403. An unknown proxy is an error with status 404.
	Snapshot(ctx context.Context, proxyID, token, hash string) (body []byte, newHash string, err error)
}

var meshRoutes = []route{
	on("/v1/agent/connect/ca/leaf/", get(agentLeaf)),
	on("/v1/agent/connect/proxy/", get(agentProxy)),
}

// agentLeaf hands out a service's certificate and key. With ?index it waits until the certificate is a newer one.
func agentLeaf(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Missing service name: URI must be either service, agent, server, or kind")
	}
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	ctx, stop, err := r.patience(o.MinIndex > 0)
	if err != nil {
		return nil, err
	}
	defer stop()
	leaf, replaced, err := r.s.leaf(ctx, r.name, o.Token)
	if err == nil && o.MinIndex > 0 && leaf.ModifyIndex == o.MinIndex {
		if _, err = r.s.until(ctx, replaced); err == nil {
			leaf, _, err = r.s.leaf(r.Context(), r.name, o.Token)
		}
	}
	if err != nil {
		return nil, err
	}
	h := r.w.Header()
	h.Set("X-Cache", "MISS")
	h.Set("X-Consul-Index", strconv.FormatUint(max(leaf.ModifyIndex, 1), 10))
	return leaf, nil
}

func (s *Server) leaf(ctx context.Context, service, token string) (api.Leaf, <-chan struct{}, error) {
	leaf, replaced, err := s.opts.Leaves.Leaf(ctx, service, token)
	if err != nil && s.closing.Err() != nil {
		err = errClosing
	}
	return leaf, replaced, err
}

// agentProxy hands out all that a sidecar needs to know, to one that is not Envoy. With ?hash it waits until that is
// something else.
func agentProxy(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing the sidecar's service ID")
	}
	ctx, stop, err := r.patience(true)
	if err != nil {
		return nil, err
	}
	defer stop()
	body, hash, err := r.s.opts.Proxies.Snapshot(ctx, r.name, r.token(), r.param("hash"))
	switch {
	case err != nil && r.s.closing.Err() != nil:
		return nil, errClosing
	case errors.Is(err, context.DeadlineExceeded):
		return nil, api.Errorf(http.StatusServiceUnavailable, "not everything that proxy %q needs is known yet; ask again", r.name)
	case err != nil:
		return nil, err
	}
	r.w.Header().Set("X-Consul-ContentHash", hash)
	return body, nil
}
