// Package intention is the noun family of who may connect to whom. Commands and queries show each source of the
// service-intentions config entries in the shape of the intention APIs; Policy and Decide say what they come to for one
// destination, with the reason. What happens when no intention says anything is the default, which the leader writes.
//
// How a rule is enforced is the proxies' business.
package intention

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

// refusal is how the public API answers an intention that makes no sense: with 500, and the path of the field.
func refusal(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, format, args...)
}

// permission is asked of the destination: who owns a service says who may call it.
func permission(destination string, access api.Access) []api.Permission {
	return []api.Permission{{Resource: "intention", Name: destination, Access: access}}
}
