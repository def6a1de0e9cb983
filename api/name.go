package api

import (
	"fmt"
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

// DNSWarnings tells by which of its names a service is not found through DNS, though through the API. A tag that holds an
// equals sign is meant for a program to read, and nobody looks it up.
func (d *ServiceDefinition) DNSWarnings() []string {
	const want = "is no name for DNS: want letters, digits and inner hyphens, 63 at most; the API finds it all the same"
	var out []string
	if d.Name != "" && !DNSName(d.Name) {
		out = append(out, fmt.Sprintf("service name %q %s", d.Name, want))
	}
	for _, tag := range d.Tags {
		for label := range strings.SplitSeq(tag, ".") { // dots may stand in a tag, they part labels there as well
			if !DNSName(label) && !strings.Contains(tag, "=") {
				out = append(out, fmt.Sprintf("tag %q of service %q %s", tag, d.Name, want))
				break
			}
		}
	}
	return out
}
