package ca

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Sign asks for a leaf certificate. There is one row, an *api.Leaf without the key, which stays with who asks. It changes
// no state, so it is a query: it is signed where it is answered. It is not to be watched.
type Sign struct{ CSR string }

// QueryType implements verb.Query.
func (Sign) QueryType() string { return "ca.sign" }

// Validate implements verb.Query.
func (s Sign) Validate() error {
	id, err := CSRIdentity(s.CSR)
	if err != nil {
		return err
	}
	switch {
	case id.Kind != Service && id.Kind != Agent:
		return api.Errorf(http.StatusBadRequest, "CSR for %s: only services and agents have leaf certificates", id)
	case id.Partition != "" || id.Namespace != "":
		return api.Errorf(http.StatusBadRequest, "CSR for %s: there is no other partition and namespace than the default one", id)
	}
	_, err = CheckCSR(s.CSR, id)
	return err
}

// Needs implements verb.Query.
func (s Sign) Needs() []api.Permission {
	id, err := CSRIdentity(s.CSR)
	if err != nil {
		return nil // Validate has refused it
	}
	if id.Kind == Agent {
		return []api.Permission{{Resource: "node", Name: id.Name, Access: api.Write}}
	}
	return []api.Permission{{Resource: "service", Name: id.Name, Access: api.Write}}
}

// NewValue implements verb.Query.
func (Sign) NewValue() any { return new(api.Leaf) }

// Read implements verb.Query.
func (s Sign) Read(tx *state.Tx) ([]*verb.Row, error) {
	id, err := CSRIdentity(s.CSR)
	if err != nil {
		return nil, err
	}
	config, root := state.CAConfiguration(tx), activeRoot(tx)
	if config == nil || root == nil {
		return nil, errNoCA
	}
	if id.Datacenter != config.Datacenter {
		return nil, api.Errorf(http.StatusBadRequest, "CSR for %s: this CA signs for the datacenter %q", id, config.Datacenter)
	}
	life, err := readLifetimes(config.Config.Config)
	if err != nil {
		return nil, err
	}
	signer, err := open(root)
	if err != nil {
		return nil, err
	}
	leaf, err := signer.Sign(context.Background(), Request{CSR: s.CSR, ID: id, TTL: life.leaf, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	leaf.CreateIndex, leaf.ModifyIndex = root.Public.ModifyIndex, root.Public.ModifyIndex
	return []*verb.Row{{Value: &leaf}}, nil
}

// opened is the root that was last signed with: reading its key takes longer than signing. A row is never changed, so a
// root is the same as long as its row is.
var opened atomic.Pointer[openRoot]

type openRoot struct {
	row    *state.Root
	signer *Builtin
}

func open(root *state.Root) (*Builtin, error) {
	if o := opened.Load(); o != nil && o.row == root {
		return o.signer, nil
	}
	signer, err := OpenBuiltin(*root)
	if err != nil {
		return nil, err
	}
	opened.Store(&openRoot{root, signer})
	return signer, nil
}
