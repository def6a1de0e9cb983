package catalog

import (
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Virtual finds the virtual address of a service or, when Address is set, the service that has it. The row is an
// *api.VirtualAddress; no row: there is none.
type Virtual struct {
	Service string
	Address string
}

// QueryType implements verb.Query.
func (Virtual) QueryType() string { return "catalog.virtual" }

// Validate implements verb.Query.
func (q Virtual) Validate() error {
	if (q.Service == "") == (q.Address == "") {
		return refusal("a virtual address is looked up by its service or by itself: name one of them")
	}
	return nil
}

// Needs implements verb.Query.
func (Virtual) Needs() []api.Permission { return nil }

// NewValue implements verb.Query.
func (Virtual) NewValue() any { return new(api.VirtualAddress) }

// Read implements verb.Query.
func (q Virtual) Read(tx *state.Tx) ([]*verb.Row, error) {
	v := state.VirtualOwner(tx, q.Address)
	if q.Service != "" {
		v = state.VirtualAddress(tx, q.Service)
	}
	if v == nil {
		return nil, nil
	}
	return []*verb.Row{{
		Key: fold(v.Service), Version: textVersion([]string{v.Service, v.Address}), Value: v, Needs: []api.Permission{readService(v.Service)},
	}}, nil
}
