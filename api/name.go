package api

import (
	"net/http"
	"strings"
	"unicode"
)

// maxName bounds the names and ids of nodes and services. DNS labels allow 63; longer names are found
// through HTTP only.
const maxName = 128

// CheckName tells what is wrong with a name or id, as an *Error with status 400 that begins with what it is the name of
// ("service name"), or nil. A name that DNS cannot carry is allowed: see DNSName.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return Errorf(http.StatusBadRequest, "%s must not be empty", what)
	case len(name) > maxName:
		return Errorf(http.StatusBadRequest, "%s %.20q... is %d bytes long, at most %d are allowed", what, name, len(name), maxName)
	case name == "." || name == "..":
		return Errorf(http.StatusBadRequest, "%s must not be %q, which no path of the API could name", what, name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return Errorf(http.StatusBadRequest, "%s %q must not contain blanks or control characters", what, name)
	}
	return nil
}

// DNSName tells whether a name can be looked up through DNS as it is: letters, digits and inner hyphens, at most 63.
func DNSName(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
