package configentry

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Chain compiles the discovery chain of a service, which need not exist. There is always one row, an *api.DiscoveryChain. It reads
// the entries that the chain is made of, and those that would change it if they were there, and no others.
type Chain struct {
	Service string
	// Datacenter is where the service is called from: the asking agent's own.
	Datacenter string
	Overrides  chain.Overrides
}

// QueryType implements verb.Query.
func (Chain) QueryType() string { return "configentry.chain" }

// Validate implements verb.Query.
func (q Chain) Validate() error {
	if q.Service == "" {
		return api.Errorf(http.StatusBadRequest, "Missing chain name")
	}
	if q.Datacenter == "" {
		return api.Errorf(http.StatusBadRequest, "the chain of %q was asked for without a datacenter to compile it for", q.Service)
	}
	if !chain.KnownProtocol(q.Overrides.Protocol) {
		return api.Errorf(http.StatusBadRequest, "OverrideProtocol %q is not known: use tcp, http, http2 or grpc", q.Overrides.Protocol)
	}
	if q.Overrides.ConnectTimeout < 0 {
		return api.Errorf(http.StatusBadRequest, "OverrideConnectTimeout %s must not be negative", q.Overrides.ConnectTimeout)
	}
	if err := checkGateway("OverrideMeshGateway", q.Overrides.MeshGateway); err != nil {
		return api.Errorf(http.StatusBadRequest, "%v", err)
	}
	return nil
}

// Needs implements verb.Query.
func (q Chain) Needs() []api.Permission {
	return []api.Permission{{Resource: "service", Name: q.Service, Access: api.Read}}
}

// NewValue implements verb.Query.
func (Chain) NewValue() any { return new(api.DiscoveryChain) }

// Read implements verb.Query.
func (q Chain) Read(tx *state.Tx) ([]*verb.Row, error) {
	o := chain.Options{Service: q.Service, Datacenter: q.Datacenter, TrustDomain: trustDomain(tx), Overrides: q.Overrides}
	c, err := chain.Compile(o, propose(tx))
	if err != nil {
		return nil, err
	}
	if v := state.VirtualAddress(tx, q.Service); v != nil {
		c.AutoVirtualIPs, c.ManualVirtualIPs = []string{v.Address}, []string{}
	}
	version, err := contentVersion(c)
	if err != nil {
		return nil, fmt.Errorf("discovery chain of %q: %w", q.Service, err)
	}
	return []*verb.Row{{Key: q.Service, Version: version, Value: c}}, nil
}

// contentVersion is the version of a row by what it says: most changes of what a chain is made of do not change it, and
// then nobody need be told.
func contentVersion(v any) (uint64, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	h.Write(data)
	return h.Sum64(), nil
}

// trustDomain is empty before there is a root.
func trustDomain(tx *state.Tx) string {
	domain := ""
	for r := range state.Roots(tx) {
		if domain == "" || r.Public.Active {
			domain = r.TrustDomain
		}
	}
	return domain
}
