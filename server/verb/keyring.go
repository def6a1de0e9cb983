package verb

import "github.com/parleymesh/parley/api"

// What can be done with the keys of gossip.
const (
	KeysList    = "list"
	KeysInstall = "install"
	KeysUse     = "use"
	KeysRemove  = "remove"
)

// KeyringRequest is what the members of one pool are to do with their keys.
type KeyringRequest struct {
	Do    string
	Key   string `json:",omitempty"` // in base64
	Relay uint8  // through how many others a member's answer is sent once more
	WAN   bool   // the pool of the servers of all datacenters, rather than that of one datacenter
}

// KeyringReply is what they said.
type KeyringReply struct {
	Response api.KeyringResponse
	Errors   []string `json:",omitempty"` // what went wrong, in lines; none: nothing did
	Absent   bool     `json:",omitempty"` // there is no such pool
}
