package config

import (
	"path/filepath"
	"strings"
)

// IntentionDefault is what happens to a call that no intention speaks of, and which rule says so.
type IntentionDefault struct {
	Allow bool
	Why   string
}

// String is a line for the banner.
func (d IntentionDefault) String() string {
	if d.Allow {
		return "allow: " + d.Why
	}
	return "deny: " + d.Why
}

// intentionDefault decides. Only under the name consul does the rule of that name hold, so that whoever swaps the
// binary under a running mesh cuts nobody off.
func (r *reader) intentionDefault(program string) IntentionDefault {
	const key = "default_intention_policy"
	if policy := r.cfg.DefaultIntentionPolicy; policy != "" {
		return IntentionDefault{policy == "allow", key + ` is set to "` + policy + `" (` + r.set[key].String() + ")"}
	}
	if !startedAsConsul(program) {
		return IntentionDefault{false, "Parley's default; " + key + ` = "allow" is the other`}
	}
	allow := !r.cfg.ACL.Enabled || r.cfg.ACL.DefaultPolicy == "allow"
	why := `started under the name consul, where acl.default_policy ("` + r.cfg.ACL.DefaultPolicy + `") decides`
	if !r.cfg.ACL.Enabled {
		why = "started under the name consul, where all is allowed while ACLs are off"
	}
	why += "; set " + key + " to choose"
	if allow {
		r.warnings = append(r.warnings, Warning{Text: "calls that no intention speaks of are allowed: " + why})
	}
	return IntentionDefault{allow, why}
}

func startedAsConsul(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "consul"
}
