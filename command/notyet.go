package command

import (
	"fmt"
	"slices"
	"strings"
)

// laterCommands are those of the public command line, one a line. What is here wins; of the others we say that they are not here
// yet, which is not the same as a typo.
const laterCommands = `
acl auth-method create|delete|list|read|update
acl binding-rule create|delete|list|read|update
acl bootstrap
acl policy create|delete|list|read|update
acl role create|delete|list|read|update
acl set-agent-token
acl templated-policy list|preview|read
acl token clone|create|delete|list|read|update
catalog datacenters|nodes|services
config delete|list|read|write
connect ca get-config|set-config
connect envoy|expose|proxy|redirect-traffic
debug
event
exec
force-leave
info
intention check|create|delete|get|list|match
join
keygen
keyring
kv delete|export|get|import|put
leave
lock
login
logout
maint
members
monitor
operator autopilot get-config|set-config|state
operator raft list-peers|remove-peer|transfer-leader
operator usage instances
peering delete|establish|exported-services|generate-token|list|read
reload
resource apply|apply-grpc|delete|delete-grpc|list|list-grpc|read|read-grpc
rtt
services deregister|export|exported-services|register
tls ca create
tls cert create
troubleshoot ports|proxy|upstreams
validate
version
watch
`

// laterFlags are flags of the public command line that commands here lack, by command.
var laterFlags = map[string][]string{
	"debug":         {"since"},
	"connect proxy": {"listen", "pprof-addr", "register", "register-id", "service", "service-addr", "upstream"},
}

// notYet tells of something that is not in this release, and where what is stands.
func notYet(what string) error {
	return &complaint{line: fmt.Sprintf("%q is not in this release yet; see website/docs/compatibility.md", what)}
}

// isLater tells whether the words, none of which is beside the others here, are a command of the public command line or begin one.
func isLater(words []string) bool {
	for line := range strings.Lines(laterCommands) {
		known := strings.Fields(line)
		if len(words) > len(known) {
			continue
		}
		fits := true
		for i, word := range words {
			fits = fits && slices.Contains(strings.Split(known[i], "|"), word)
		}
		if fits {
			return len(words) > 0
		}
	}
	return false
}
