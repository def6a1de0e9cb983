// Package query holds prepared queries: questions about the instances of a service that are kept under a name, and asked by
// DNS and HTTP. It knows how they are written, what their templates mean (a pure function, see template.go), and which
// instances they find.
//
// The words of refusals, and their status 500, are those of the public API.
package query

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

func refusal(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, format, args...)
}

// permission is that on a query. One without a name is nobody's business but an operator's.
func permission(name string, a api.Access) api.Permission {
	return api.Permission{Resource: "query", Name: name, Access: a}
}
