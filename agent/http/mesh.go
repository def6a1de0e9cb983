package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

// Leaves holds the certificates of this host's services.
type Leaves interface {
	// Leaf returns the service's current certificate with its key, which is signed at the first call, and a channel that is
	// closed when another has replaced it, whose ModifyIndex is higher. The token must have service:write, which is judged
	// where certificates are signed.
	Leaf(ctx context.Context, service, token string) (leaf api.Leaf, replaced <-chan struct{}, err error)
}

// Proxies holds what this host's sidecars need to know.
type Proxies interface {
	// Snapshot waits until the proxy's snapshot has another hash than the given one, which is empty for none, and returns
	// it encoded as JSON, with its hash. When ctx ends first it returns the same as before, or ctx's error when there was
	// none. It holds the private key, so the token must have service:write on the proxy's service, or the error has
	// status 403. Whether the proxy is registered yet it need not know.
	Snapshot(ctx context.Context, proxyID, token, hash string) (body []byte, newHash string, err error)
}

var meshRoutes = []route{
	on("/v1/agent/connect/ca/leaf/", get(agentLeaf)),
	on("/v1/agent/connect/proxy/", get(agentProxy)),
	on("/v1/agent/connect/authorize", post(agentAuthorize)),
}

// agentLeaf hands out a service's certificate and key. With ?index it waits until the certificate is a newer one.
func agentLeaf(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusInternalServerError, "Missing service name: URI must be either service, agent, server, or kind")
	}
	if err := api.CheckName("service name", r.name); err != nil {
		return nil, err
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
	if s, _ := r.s.opts.Local.Service(r.name); r.param("hash") == "" && (s == nil || !s.IsProxy()) {
		return nil, r.whyNoSnapshot() // at once: to wait for a typing error looks like a fault
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
		return nil, r.whyNoSnapshot()
	case err != nil:
		return nil, err
	}
	r.w.Header().Set("X-Consul-ContentHash", hash)
	return body, nil
}

// whyNoSnapshot tells why the wait for a proxy's first snapshot was in vain.
func (r *request) whyNoSnapshot() error {
	switch s, _ := r.s.opts.Local.Service(r.name); {
	case s == nil:
		return api.Errorf(http.StatusNotFound,
			"no proxy with the service ID %q is registered with this agent; register it, or name the ID of the sidecar rather than of its service", r.name)
	case !s.IsProxy():
		return api.Errorf(http.StatusBadRequest, "service %q is no proxy; name the ID of its sidecar, such as %q",
			r.name, r.name+"-sidecar-proxy")
	}
	return api.Errorf(http.StatusServiceUnavailable, "not everything that proxy %q needs is known yet; ask again", r.name)
}

// agentAuthorize tells a service that speaks mTLS itself whether its client may connect. Who the client is, TLS has proved.
func agentAuthorize(r *request) (any, error) {
	var ask api.AuthorizeRequest
	if err := r.decode(&ask); err != nil {
		return nil, err
	}
	if err := onlyDefaultTenant(ask.Namespace, ask.Partition); err != nil {
		return nil, err
	}
	if ask.Target == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Target service must be specified")
	}
	id, err := ca.ParseID(ask.ClientCertURI)
	if err != nil || id.Kind != ca.Service {
		return nil, api.Errorf(http.StatusBadRequest, "ClientCertURI not a valid Connect identifier: it must be the SPIFFE id of a service, "+
			"as spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>")
	}
	if err := r.need("service", ask.Target, api.Write); err != nil {
		return nil, err
	}
	d, err := r.judge(id, ask.Target)
	if err != nil {
		return nil, err
	}
	return api.AuthorizeReply{Authorized: d.Allowed, Reason: d.Why}, nil
}

// judge decides by the rule by which proxies do. An identity of another mesh, or of a part of one that there is not, is no
// service of this one, whatever it is called.
func (r *request) judge(id ca.ID, target string) (api.Decision, error) {
	a, err := r.peekSafely(ca.Roots{})
	if err != nil {
		return api.Decision{}, err
	}
	for _, roots := range verb.Values[*api.CARoots](a) {
		if roots.TrustDomain != "" && !strings.EqualFold(roots.TrustDomain, id.TrustDomain) {
			return api.Decision{Why: fmt.Sprintf("the trust domain of %s is not that of this mesh, which is %s", id, roots.TrustDomain)}, nil
		}
	}
	if id.Namespace != "" || id.Partition != "" {
		return api.Decision{Why: fmt.Sprintf("%s is of another namespace or partition than the default one, the only one here", id)}, nil
	}
	a, err = r.peekSafely(intention.Check{Source: id.Name, Destination: target})
	if err != nil {
		return api.Decision{}, err
	}
	row, err := only(a)
	if err != nil {
		return api.Decision{}, err
	}
	return *row.Value.(*api.Decision), nil
}
