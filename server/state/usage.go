package state

import (
	"time"

	"github.com/parleymesh/parley/api"
)

// Usage is how much of everything there is.
type Usage struct {
	Nodes, Services, Instances int
	// Mesh counts the instances that take part in the mesh, by kind; those that speak mTLS themselves are "connect-native".
	Mesh map[string]int
	Keys int
	// Entries counts the config entries by kind.
	Entries map[string]int
	// RootExpires is when the root that signs ends; zero when there is none.
	RootExpires time.Time
}

// Count reads all of the default tenant. It wakes nobody and wants no transaction that watches.
func Count(tx *Tx) Usage {
	tx.At(api.Tenant{}, 0)
	u := Usage{
		Mesh: map[string]int{
			api.KindConnectProxy: 0, api.KindMeshGateway: 0, api.KindTerminatingGateway: 0, api.KindIngressGateway: 0,
			api.KindAPIGateway: 0, "connect-native": 0,
		},
		Entries: map[string]int{},
	}
	for range nodes.list(tx, tx.key()) {
		u.Nodes++
	}
	name := ""
	for i := range services.listBy1(tx, tx.key()) {
		u.Instances++
		if this := fold(i.Service.Service); this != name || u.Services == 0 {
			name = this
			u.Services++
		}
		switch {
		case i.Service.Connect != nil && i.Service.Connect.Native:
			u.Mesh["connect-native"]++
		case i.Service.Kind != api.KindTypical:
			u.Mesh[i.Service.Kind]++
		}
	}
	for range kv.list(tx, tx.key()) {
		u.Keys++
	}
	for e := range configEntries.list(tx, tx.key()) {
		u.Entries[e.EntryKind()]++
	}
	for r := range caRoots.list(tx, tx.key()) {
		if r.Public.Active {
			u.RootExpires = r.Public.NotAfter
		}
	}
	return u
}
