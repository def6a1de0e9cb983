// Package configentry is the noun family of config entries, which are pieces of configuration for the whole datacenter, kept by
// kind and name. It serves the discovery chains that are compiled from them as well.
//
// What an entry does is the business of whoever reads it: this package sees to it that what stands makes sense, by itself
// and beside the other entries. Intentions are kept as entries too, and package intention shows them in their own shape.
package configentry

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

// refusal is how the public API answers an entry that makes no sense: with 500, and the path of the field.
func refusal(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, format, args...)
}

// permissions are those that reading or writing an entry takes.
func permissions(kind, name string, access api.Access) []api.Permission {
	switch {
	case kind == api.KindServiceIntentions:
		return []api.Permission{{Resource: "intention", Name: name, Access: access}}
	case kind == api.KindServiceDefaults:
		return []api.Permission{{Resource: "service", Name: name, Access: access}}
	case kind == api.KindProxyDefaults && access == api.Read:
		return nil // every proxy must know it
	}
	return []api.Permission{{Resource: "operator", Access: access}}
}

// rowKey joins what identifies an entry; the zero byte sorts a whole before its parts.
func rowKey(kind, name string) string { return kind + "\x00" + name }
