package server

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// Gossip is what a server can have gossip do for whoever is not in its pools.
type Gossip interface {
	// Keyring asks the members of a pool for their keys, or changes them.
	Keyring(q verb.KeyringRequest) verb.KeyringReply
	// Fire tells all agents of the datacenter an event.
	Fire(e api.UserEvent) (api.UserEvent, error)
}

// Keyring implements verb.Actor.
func (s *Server) Keyring(q verb.KeyringRequest) verb.KeyringReply {
	if s.opts.Gossip == nil {
		return verb.KeyringReply{Absent: true}
	}
	return s.opts.Gossip.Keyring(q)
}

// Fire implements verb.Actor.
func (s *Server) Fire(e api.UserEvent) (api.UserEvent, error) {
	if s.opts.Gossip == nil {
		return e, api.Errorf(http.StatusNotImplemented, "this server tells no events")
	}
	return s.opts.Gossip.Fire(e)
}
