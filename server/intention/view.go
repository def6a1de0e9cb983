package intention

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// view is a source of an entry in the shape of the intention API.
func view(e *api.ServiceIntentions, s *api.SourceIntention) *api.Intention {
	x := &api.Intention{
		Description: s.Description,
		SourceNS:    api.DefaultTenant, SourceName: s.Name, SourcePeer: s.Peer, SourceType: s.Type,
		DestinationNS: api.DefaultTenant, DestinationName: e.Name,
		Action: s.Action, Permissions: s.Permissions, Precedence: s.Precedence,
		CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex,
	}
	if s.LegacyID != "" {
		x.ID, x.Meta, x.CreatedAt, x.UpdatedAt = s.LegacyID, s.LegacyMeta, s.LegacyCreateTime, s.LegacyUpdateTime
		x.Hash = contentHash(s, e.Name)
	}
	return x
}

// contentHash is the hash of what a user can write.
func contentHash(s *api.SourceIntention, destination string) []byte {
	data, err := json.Marshal([]any{s.Name, s.Peer, destination, s.Type, s.Action, s.Description, s.LegacyMeta})
	if err != nil {
		return nil // texts have an encoding
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// row is a view as a row, which sorts by precedence first and then by names, so that the order is always the same.
func row(e *api.ServiceIntentions, s *api.SourceIntention) *verb.Row {
	return &verb.Row{
		Key: rowKey(s.Precedence, e.Name, s), Version: e.ModifyIndex, Value: view(e, s), Needs: permission(e.Name, api.Read),
	}
}

func rowKey(precedence int, destination string, s *api.SourceIntention) string {
	return strings.Join([]string{fmt.Sprint(9 - precedence), destination, s.Name, s.Peer}, "\x00")
}

// destinations returns the entries that hold for a service as a destination: its own, and that of all.
func destinations(tx *state.Tx, service string) []*api.ServiceIntentions {
	var out []*api.ServiceIntentions
	if e := state.ServiceIntentions(tx, service); e != nil {
		out = append(out, e)
	}
	if service == api.Wildcard {
		return out
	}
	if e := state.ServiceIntentions(tx, api.Wildcard); e != nil {
		out = append(out, e)
	}
	return out
}

// byID finds an intention that was made by id: its entry and its place in it.
func byID(tx *state.Tx, id string) (*api.ServiceIntentions, int) {
	if id == "" {
		return nil, -1
	}
	for _, e := range state.AllIntentions(tx) {
		for i := range e.Sources {
			if e.Sources[i].LegacyID == id {
				return e, i
			}
		}
	}
	return nil, -1
}
