package config

import (
	"path/filepath"
	"strings"
)

// finish works out what follows from the settings.
func (r *reader) finish(s Sources) {
	c := r.cfg
	if c.NodeName == "" {
		r.nameAfterHost(s.Host)
	}
	c.NodeID = strings.ToLower(c.NodeID)
	c.Datacenter = strings.ToLower(c.Datacenter)
	c.PrimaryDatacenter = strings.ToLower(c.PrimaryDatacenter)
	if c.PrimaryDatacenter == "" {
		c.PrimaryDatacenter = c.Datacenter
	}
	c.Domain = strings.Trim(c.Domain, ".")
	c.AltDomain = strings.Trim(c.AltDomain, ".")
	if c.AltDomain == c.Domain {
		c.AltDomain = ""
	}
	if c.ServerName == "" {
		c.ServerName = c.NodeName
	}
	if c.Server && !c.Dev && !r.isSet("ports.grpc_tls") {
		c.Ports.GRPCTLS = defaultGRPCTLS
	}
	if c.Server && c.BootstrapExpect == 1 {
		c.Bootstrap, c.BootstrapExpect = true, 0
	}
	r.inheritTLS()
	r.resolveAddrs(s.Host)
	c.RetryJoin = r.expandJoins(s.Host, "retry_join", c.RetryJoin)
	c.RetryJoinWAN = r.expandJoins(s.Host, "retry_join_wan", c.RetryJoinWAN)
	c.Intentions = r.intentionDefault(s.Program)
	c.LogFile = logPath(c.LogFile, s.Program)
	r.decodeEntries()
}

// logPath is the file of a setting that may name only its directory.
func logPath(text, program string) string {
	if text == "" {
		return ""
	}
	if strings.HasSuffix(text, "/") || strings.HasSuffix(text, string(filepath.Separator)) {
		name := "parley"
		if startedAsConsul(program) {
			name = "consul" // which those who read the logs know
		}
		text += name
	}
	if filepath.Ext(text) == "" {
		text += ".log"
	}
	return text
}

func (r *reader) nameAfterHost(h Host) {
	name, err := h.hostname()
	if err != nil {
		r.fail("node_name", "the name of this host cannot be had (%v); set it", err)
	}
	r.cfg.NodeName = name
}

func (r *reader) decodeEntries() {
	for _, v := range r.cfg.ConfigEntries.Bootstrap {
		entry, err := DecodeEntry(v)
		if err != nil {
			r.errs = append(r.errs, flatten(err)...)
			continue
		}
		r.cfg.ConfigEntries.Entries = append(r.cfg.ConfigEntries.Entries, entry)
	}
}
