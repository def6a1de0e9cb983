package http

import "strings"

// later lists what the public API has and this release has not, each with all beneath it. An endpoint that is here wins.
var later = []string{
	"/v1/acl", "/v1/agent/metrics/stream",
	"/v1/peering", "/v1/peerings",
}

// isLater tells whether a path belongs to something that is not here yet, and what that is.
func isLater(path string) (what string, yes bool) {
	for _, prefix := range later {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return prefix, true
		}
	}
	return "", false
}
