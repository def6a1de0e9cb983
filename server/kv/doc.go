// Package kv is the noun family of keys and their values. Commands put and delete keys, alone, below a prefix, or only if nobody
// has changed them meanwhile; queries read one, list those below a prefix, or list their names.
//
// Sessions and locks belong to this family and come later: a key that nobody can lock has no session.
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
	if len(key) > maxKey {
		return api.Errorf(http.StatusBadRequest, "key %.20q... is %d bytes long, at most %d are allowed", key, len(key), maxKey)
	}
	return nil
}

func permission(key string, access api.Access) []api.Permission {
	return []api.Permission{{Resource: "key", Name: key, Access: access}}
}
