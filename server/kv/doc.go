// Package kv is the noun family of keys and their values, of sessions, which lock keys, and of transactions. Commands put and
// delete keys, alone, below a prefix, or only if nobody has changed them meanwhile; make, renew and end sessions; and carry out
// several operations as one. Queries read keys, list those below a prefix or their names, and list sessions.
//
// What ends a session and what its end does is in state/cascade.go. When a session's time or a lock's delay is over, the leader
// says so, with Expire: no server's clock judges what another one applies.
package kv

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

// maxKey bounds the length of a key. Its outer folders are each a topic, so it must not be a value in disguise.
const maxKey = 4096

// checkKey is the shape of a key.
func checkKey(key string) error {
	if key == "" {
		return api.Errorf(http.StatusBadRequest, "Missing key name")
	}
	return checkPrefix(key)
}

// checkPrefix is the shape of what keys begin with.
func checkPrefix(prefix string) error {
	if len(prefix) > maxKey {
		return api.Errorf(http.StatusBadRequest, "key %.20q... is %d bytes long, at most %d are allowed", prefix, len(prefix), maxKey)
	}
	return nil
}

func permission(key string, access api.Access) []api.Permission {
	return []api.Permission{{Resource: "key", Name: key, Access: access}}
}
