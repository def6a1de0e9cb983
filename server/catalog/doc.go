// Package catalog is the noun family of nodes, the services on them and their checks: what is registered, and how
// healthy it is. Commands register and deregister; queries list nodes, services and instances, with or without health.
//
// A query returns every row that it is about. What a reader wants of them (a filter, a tag, passing ones only, the
// nearest first) is chosen from the shared rows by whoever asks, so that one view serves all.
package catalog

import (
	"net/http"
	"strings"

	"github.com/parleymesh/parley/api"
)

// refusal is how the public API answers a registration that makes no sense: with 500, for the field it names.
func refusal(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, format, args...)
}

func readNode(name string) api.Permission {
	return api.Permission{Resource: "node", Name: name, Access: api.Read}
}

func readService(name string) api.Permission {
	return api.Permission{Resource: "service", Name: name, Access: api.Read}
}

func fold(name string) string { return strings.ToLower(name) }

// rowKey joins what identifies a row; the zero byte sorts a whole before its parts.
func rowKey(parts ...string) string { return strings.Join(parts, "\x00") }
