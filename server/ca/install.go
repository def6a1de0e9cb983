package ca

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// Install writes the first root and how certificates are signed. Where there is a root it changes nothing, so it does no
// harm when a second leader does it as well.
type Install struct {
	ClusterID  string
	Datacenter string
	Root       state.Root
	Config     api.CAConfiguration
}

// First returns the command that makes the certificate authority, with a new root, or nil if there is one.
func First(tx *state.Tx, domain, datacenter string, now time.Time) (*Install, error) {
	if state.CAConfiguration(tx) != nil && activeRoot(tx) != nil {
		return nil, nil
	}
	config := DefaultConfiguration()
	life, err := readLifetimes(config.Config)
	if err != nil {
		return nil, err
	}
	i := &Install{ClusterID: uuid.NewString(), Datacenter: datacenter, Config: config}
	i.Root, err = NewRoot(RootOptions{ClusterID: i.ClusterID, Domain: domain, Serial: 1, Validity: life.root, Now: now})
	if err != nil {
		return nil, fmt.Errorf("make the first root: %w", err)
	}
	return i, nil
}

// CommandType implements verb.Command.
func (Install) CommandType() string { return "ca.install" }

// Validate implements verb.Command.
func (i Install) Validate() error {
	if i.ClusterID == "" || i.Datacenter == "" {
		return api.Errorf(http.StatusBadRequest, "the certificate authority needs a cluster id and a datacenter")
	}
	if _, err := OpenBuiltin(i.Root); err != nil {
		return api.Errorf(http.StatusBadRequest, "install %v", err)
	}
	return SetConfiguration{i.Config}.Validate()
}

// Needs implements verb.Command.
func (Install) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Write}}
}

// Apply implements verb.Command. The result tells whether it happened.
func (i Install) Apply(tx *state.Tx) (any, error) {
	if state.CAConfiguration(tx) != nil && activeRoot(tx) != nil {
		return false, nil
	}
	state.PutCAConfiguration(tx, state.CAConfig{
		Config: i.Config, ClusterID: i.ClusterID, Datacenter: i.Datacenter, LastSerial: i.Root.Public.SerialNumber,
	})
	root := i.Root
	root.Public.Active = true
	state.PutRoot(tx, root)
	return true, nil
}
