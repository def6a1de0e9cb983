package state

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
)

// This file judges what is to be written into the catalog, alone or in a transaction.

// CheckNode tells what is wrong with the name and the id of a node. It needs no state.
func CheckNode(name, id string) error {
	if name == "" {
		return refuse("Must provide node")
	}
	if err := api.CheckName("node name", name); err != nil {
		return err
	}
	if id == "" {
		return nil
	}
	if len(id) != 36 {
		return refuse("Bad node ID: uuid string is wrong length")
	}
	if _, err := uuid.Parse(id); err != nil {
		return refuse("Bad node ID: %v", err)
	}
	return nil
}

// CheckService tells what is wrong with the shape of an instance.
func CheckService(s *api.Service) error {
	if s.Service == "" {
		if s.ID != "" {
			return refuse("Must provide service name (Service.Service) when service ID is provided")
		}
		return refuse("Must provide service name (Service.Service)")
	}
	if err := api.CheckName("service name", s.Service); err != nil {
		return err
	}
	if s.Port < 0 || s.Port > 65535 {
		return api.Errorf(http.StatusBadRequest, "Service.Port %d of %q is out of range: 0 to 65535", s.Port, s.Service)
	}
	if s.Kind == api.KindConnectProxy && (s.Proxy == nil || s.Proxy.DestinationServiceName == "") {
		return refuse("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
	}
	return nil
}

// AdmitNode refuses the name of a node that is alive to a host with another id.
func AdmitNode(tx *Tx, name, id, address string) error {
	old := Node(tx, name)
	if old == nil || id == "" || old.ID == "" || fold(old.ID) == fold(id) {
		return nil
	}
	if c := NodeCheck(tx, old.Node, api.SerfHealth); c == nil || c.Status != api.Passing {
		return nil
	}
	return refuse("Node name %s is reserved by node %s at %s, which is alive; give the node at %s another node_name, or stop the other one first",
		name, old.ID, old.Address, address)
}

// LeaveOldName removes a node that, by its id, comes under a new name now.
func LeaveOldName(tx *Tx, name, id string) {
	if same := NodeByID(tx, id); same != nil && fold(same.Node) != fold(name) {
		DeleteNode(tx, same.Node)
	}
}
