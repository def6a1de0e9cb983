package ca

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Roots asks for the roots that the mesh trusts. There is one row, an *api.CARoots. Everybody may see it: roots are shown
// to whoever opens a connection.
type Roots struct{}

// QueryType implements verb.Query.
func (Roots) QueryType() string { return "ca.roots" }

// Validate implements verb.Query.
func (Roots) Validate() error { return nil }

// Needs implements verb.Query.
func (Roots) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Roots) NewValue() any { return new(api.CARoots) }

// Read implements verb.Query.
func (Roots) Read(tx *state.Tx) ([]*verb.Row, error) {
	out := &api.CARoots{Roots: []api.CARoot{}}
	var versions []uint64
	for r := range state.Roots(tx) {
		out.Roots = append(out.Roots, r.Public)
		versions = append(versions, r.Public.ModifyIndex)
		if r.Public.Active {
			out.ActiveRootID, out.TrustDomain = r.Public.ID, r.TrustDomain
		}
	}
	return []*verb.Row{{Version: verb.Version(versions...), Value: out}}, nil
}

// activeRoot returns the root that signs, or nil.
func activeRoot(tx *state.Tx) *state.Root {
	for r := range state.Roots(tx) {
		if r.Public.Active {
			return r
		}
	}
	return nil
}
