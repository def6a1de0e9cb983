package state

import (
	"iter"

	"github.com/parleymesh/parley/api"
)

// Root is the row of a root certificate. Its private key stands beside it, on the servers alone: the public CARoot has
// no place for it.
type Root struct {
	Public      api.CARoot
	PrivateKey  string // PEM
	TrustDomain string
}

// CAConfig is the single row of what signs certificates.
type CAConfig struct {
	Config     api.CAConfiguration
	ClusterID  string // the trust domain's first label
	Datacenter string // for whose services it signs
	LastSerial uint64
}

var caRoots = &table[Root]{
	name: "ca-roots", version: 1,
	key: func(tx *Tx, r *Root) string { return tx.key(r.Public.ID) },
}

var caConfigs = &table[CAConfig]{
	name: "ca-config", version: 1,
	key: func(tx *Tx, _ *CAConfig) string { return tx.key("config") },
}

// The topics of the certificate authority.
const (
	topicRoots    Kind = "ca-roots"
	topicCAConfig Kind = "ca-config"
)

// Roots yields all roots.
func Roots(tx *Tx) iter.Seq[*Root] {
	tx.saw(topicRoots, "")
	return caRoots.list(tx, tx.key())
}

// PutRoot writes a root, keeping its create index.
func PutRoot(tx *Tx, r Root) {
	r.Public.CreateIndex, r.Public.ModifyIndex = tx.index, tx.index
	if old := caRoots.get(tx, tx.key(r.Public.ID)); old != nil {
		r.Public.CreateIndex = old.Public.CreateIndex
	}
	caRoots.put(tx, &r)
	tx.touch(topicRoots, "")
}

// DeleteRoot removes a root.
func DeleteRoot(tx *Tx, id string) {
	caRoots.remove(tx, tx.key(id))
	tx.touch(topicRoots, "")
}

// CAConfiguration returns the configuration, or nil before the first leader wrote one.
func CAConfiguration(tx *Tx) *CAConfig {
	tx.saw(topicCAConfig, "")
	return caConfigs.get(tx, tx.key("config"))
}

// PutCAConfiguration writes the configuration, keeping its create index.
func PutCAConfiguration(tx *Tx, c CAConfig) {
	c.Config.CreateIndex, c.Config.ModifyIndex = tx.index, tx.index
	if old := caConfigs.get(tx, tx.key("config")); old != nil {
		c.Config.CreateIndex = old.Config.CreateIndex
	}
	caConfigs.put(tx, &c)
	tx.touch(topicCAConfig, "")
}
