package config

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/agent/watcher"
)

// validate checks everything that can be known to be wrong before anything is opened.
func (r *reader) validate() {
	r.validateNode()
	r.validateServer()
	r.validatePorts()
	r.validateGossip()
	r.validateMesh()
	r.validateDNS()
	r.validateLimits()
	r.validateTLS()
	r.validateACL()
	r.validateLog()
	r.validateWatches()
}

var (
	datacenterSyntax = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	nodeNameSyntax   = regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`) // a DNS label
	metaKeySyntax    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

const (
	maxMetaPairs = 64
	maxMetaValue = 512
)

func (r *reader) validateNode() {
	c := r.cfg
	switch {
	case c.NodeName == "" || strings.ContainsFunc(c.NodeName, isSpaceOrSlash) || len(c.NodeName) > 255:
		r.fail("node_name", "%q cannot name a node: want letters, digits and dashes", c.NodeName)
	case !nodeNameSyntax.MatchString(c.NodeName):
		r.warn("node_name", "%q cannot be looked up in DNS: only letters, digits and dashes can, 63 at most", c.NodeName)
	}
	if c.NodeID != "" && !isUUID(c.NodeID) {
		r.fail("node_id", "%q is not a UUID", c.NodeID)
	}
	for key, dc := range map[string]string{"datacenter": c.Datacenter, "primary_datacenter": c.PrimaryDatacenter} {
		if (key == "datacenter" || r.isSet(key)) && !datacenterSyntax.MatchString(dc) {
			r.fail(key, "%q cannot name a datacenter: want letters, digits, dashes and underscores, 63 at most", dc)
		}
	}
	r.validateMeta()
	if c.DataDir == "" && !c.Dev {
		r.fail("data_dir", "must be set, to the directory where the agent keeps its state (or use -dev to keep nothing)")
	}
}

func isSpaceOrSlash(c rune) bool { return c <= ' ' || c == '/' || c == '\\' || c == 0x7f }

func (r *reader) validateMeta() {
	meta := r.cfg.NodeMeta
	if len(meta) > maxMetaPairs {
		r.fail("node_meta", "has %d pairs; at most %d are kept", len(meta), maxMetaPairs)
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		switch {
		case !metaKeySyntax.MatchString(key):
			r.fail("node_meta", "key %q: want letters, digits, dashes and underscores, 128 at most", key)
		case strings.HasPrefix(key, "consul-"):
			r.fail("node_meta", "key %q: names that begin with consul- are reserved", key)
		case len(meta[key]) > maxMetaValue:
			r.fail("node_meta", "the value of %s has %d bytes; at most %d are kept", key, len(meta[key]), maxMetaValue)
		}
	}
}

func (r *reader) validateServer() {
	c := r.cfg
	switch expect := c.BootstrapExpect; {
	case expect < 0:
		r.fail("bootstrap_expect", "%d: want the number of servers", expect)
	case expect > 0 && c.Dev:
		r.fail("bootstrap_expect", "a development agent is a server alone; leave it out")
	case expect > 0 && !c.Server:
		r.fail("bootstrap_expect", "is for servers; set server = true as well")
	case expect > 0 && c.Bootstrap:
		r.fail("bootstrap_expect", "excludes bootstrap; keep only one of them")
	case expect == 2:
		r.warn("bootstrap_expect", "2 servers tolerate no failure; 3 tolerate one")
	case expect > 0 && expect%2 == 0:
		r.warn("bootstrap_expect", "%d servers tolerate no more failures than %d", expect, expect-1)
	}
	if c.Bootstrap && !c.Server {
		r.fail("bootstrap", "is for servers; set server = true as well")
	}
	if m := c.Performance.RaftMultiplier; r.isSet("performance.raft_multiplier") && (m < 1 || m > 10) {
		r.fail("performance.raft_multiplier", "%d: want a number between 1 and 10", m)
	}
	r.atLeast("raft_snapshot_threshold", c.RaftSnapshotThreshold, 1)
	r.atLeast("raft_trailing_logs", c.RaftTrailingLogs, 1)
	r.atLeast("raft_logstore.wal.segment_size_mb", c.RaftLogstore.WAL.SegmentSizeMB, 1)
	r.atLeast("autopilot.max_trailing_logs", c.Autopilot.MaxTrailingLogs, 0)
	r.atLeast("autopilot.min_quorum", c.Autopilot.MinQuorum, 0)
	r.atLeast("retry_max", c.RetryMax, 0)
	r.atLeast("retry_max_wan", c.RetryMaxWAN, 0)
	r.positive(map[string]time.Duration{
		"raft_snapshot_interval":              c.RaftSnapshotInterval,
		"retry_interval":                      c.RetryInterval,
		"retry_interval_wan":                  c.RetryIntervalWAN,
		"reconnect_timeout":                   c.ReconnectTimeout,
		"reconnect_timeout_wan":               c.ReconnectTimeoutWAN,
		"performance.rpc_hold_timeout":        c.Performance.RPCHoldTimeout,
		"autopilot.last_contact_threshold":    c.Autopilot.LastContactThreshold,
		"default_query_time":                  c.DefaultQueryTime,
		"max_query_time":                      c.MaxQueryTime,
		"session_ttl_min":                     c.SessionTTLMin,
		"performance.grpc_keepalive_timeout":  c.Performance.GRPCKeepaliveTimeout,
		"performance.grpc_keepalive_interval": c.Performance.GRPCKeepaliveInterval,
	})
	r.notNegative(map[string]time.Duration{
		"performance.leave_drain_time":        c.Performance.LeaveDrainTime,
		"autopilot.server_stabilization_time": c.Autopilot.ServerStabilizationTime,
		"discovery_max_stale":                 c.DiscoveryMaxStale,
		"check_update_interval":               c.CheckUpdateInterval,
		"advertise_reconnect_timeout":         c.AdvertiseReconnect,
	})
	if c.DefaultQueryTime > c.MaxQueryTime {
		r.fail("default_query_time", "%v is longer than max_query_time, %v", c.DefaultQueryTime, c.MaxQueryTime)
	}
}

func (r *reader) atLeast(key string, n, least int) {
	if n < least {
		r.fail(key, "%d: want at least %d", n, least)
	}
}

func (r *reader) positive(durations map[string]time.Duration) {
	for _, key := range slices.Sorted(maps.Keys(durations)) {
		if durations[key] <= 0 {
			r.fail(key, "%v: want a time above zero", durations[key])
		}
	}
}

func (r *reader) notNegative(durations map[string]time.Duration) {
	for _, key := range slices.Sorted(maps.Keys(durations)) {
		if durations[key] < 0 {
			r.fail(key, "%v: want zero or more", durations[key])
		}
	}
}

func (r *reader) validatePorts() {
	p := r.cfg.Ports
	ports := []struct {
		key  string
		port int
		must bool // may not be closed
	}{
		{"ports.dns", p.DNS, false}, {"ports.http", p.HTTP, false}, {"ports.https", p.HTTPS, false}, {"ports.grpc", p.GRPC, false}, {"ports.grpc_tls", p.GRPCTLS, false},
		{"ports.serf_lan", p.SerfLAN, true}, {"ports.serf_wan", p.SerfWAN, false}, {"ports.server", p.Server, true},
	}
	valid := true
	for _, e := range ports {
		if e.port < Closed || e.port > 65535 {
			r.fail(e.key, "%d: want a port up to 65535, or -1 for none", e.port)
			valid = false
		} else if e.port == Closed && e.must {
			r.fail(e.key, "an agent cannot do without this port")
			valid = false
		}
	}
	r.validateRange("ports.sidecar_min_port", p.SidecarMinPort, "ports.sidecar_max_port", p.SidecarMaxPort)
	r.validateRange("ports.expose_min_port", p.ExposeMinPort, "ports.expose_max_port", p.ExposeMaxPort)
	if valid {
		r.validateListeners()
	}
}

func (r *reader) validateRange(minKey string, low int, maxKey string, high int) {
	if low < 1 || low > 65535 {
		r.fail(minKey, "%d: want a port between 1 and 65535", low)
	} else if high < low || high > 65535 {
		r.fail(maxKey, "%d: want a port between %d (%s) and 65535", high, low, minKey)
	}
}

// validateListeners finds two listeners in one place.
func (r *reader) validateListeners() {
	c, a := r.cfg, r.cfg.Addrs
	type listener struct {
		key  string
		addr net.Addr
	}
	var all []listener
	add := func(key string, addrs ...net.Addr) {
		for _, addr := range addrs {
			all = append(all, listener{key, addr})
		}
	}
	tcp := func(ip netip.Addr, port int) net.Addr {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(max(port, 0))))
	}
	add("ports.dns", a.DNS...)
	add("ports.http", a.HTTP...)
	add("ports.https", a.HTTPS...)
	add("ports.grpc", a.GRPC...)
	add("ports.grpc_tls", a.GRPCTLS...)
	add("ports.serf_lan", tcp(a.SerfLAN, c.Ports.SerfLAN))
	if c.Server {
		add("ports.server", tcp(a.Bind, c.Ports.Server))
		add("ports.serf_wan", tcp(a.SerfWAN, c.Ports.SerfWAN))
	}
	for i, later := range all {
		for _, earlier := range all[:i] {
			if clash(earlier.addr, later.addr) {
				key, other := later.key, earlier.key
				if !r.isSet(key) && r.isSet(other) {
					key, other = other, key
				}
				r.fail(key, "%s is taken by %s already", later.addr, other)
			}
		}
	}
}

func clash(a, b net.Addr) bool {
	x, xTCP := a.(*net.TCPAddr)
	y, yTCP := b.(*net.TCPAddr)
	if !xTCP || !yTCP {
		return a.String() == b.String() && xTCP == yTCP
	}
	return x.Port == y.Port && x.Port != 0 && (x.IP.Equal(y.IP) || x.IP.IsUnspecified() || y.IP.IsUnspecified())
}

func (r *reader) validateGossip() {
	c := r.cfg
	if c.Encrypt != "" {
		key, err := base64.StdEncoding.DecodeString(c.Encrypt)
		if err != nil || !slices.Contains([]int{16, 24, 32}, len(key)) {
			r.fail("encrypt", "want a key of 16, 24 or 32 bytes in base64; parley keygen makes one") // never show what was given
		}
	}
	for name, g := range map[string]Gossip{"gossip_lan": c.GossipLAN, "gossip_wan": c.GossipWAN} {
		r.atLeast(name+".gossip_nodes", g.GossipNodes, 1)
		r.atLeast(name+".suspicion_mult", g.SuspicionMult, 1)
		r.atLeast(name+".retransmit_mult", g.RetransmitMult, 1)
		r.positive(map[string]time.Duration{name + ".gossip_interval": g.GossipInterval, name + ".probe_interval": g.ProbeInterval, name + ".probe_timeout": g.ProbeTimeout})
	}
	r.validateCIDRs("serf_lan_allowed_cidrs", c.SerfLANAllowedCIDRs)
	r.validateCIDRs("serf_wan_allowed_cidrs", c.SerfWANAllowedCIDRs)
	r.validateCIDRs("http_config.allow_write_http_from", c.HTTPConfig.AllowWriteHTTPFrom)
}

func (r *reader) validateCIDRs(key string, cidrs []string) {
	for _, text := range cidrs {
		if _, err := netip.ParsePrefix(text); err != nil {
			r.fail(key, "%q is not a network such as 10.0.0.0/8", text)
		}
	}
}

func (r *reader) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		r.fail(key, "%q: use %s or %s", value, strings.Join(allowed[:len(allowed)-1], ", "), allowed[len(allowed)-1])
	}
}

func (r *reader) validateMesh() {
	c := r.cfg
	if c.DefaultIntentionPolicy != "" {
		r.oneOf("default_intention_policy", c.DefaultIntentionPolicy, "allow", "deny")
	}
	if c.Connect.Enabled {
		r.oneOf("connect.ca_provider", c.Connect.CAProvider, "consul", "vault", "aws-pca")
		if c.Connect.CAProvider == "vault" || c.Connect.CAProvider == "aws-pca" {
			r.fail("connect.ca_provider", "%s is not there yet; use consul, the built-in one", c.Connect.CAProvider)
		}
	}
	if c.XDS.UpdateMaxPerSecond < 0 {
		r.fail("xds.update_max_per_second", "%v: want zero, for no limit, or more", c.XDS.UpdateMaxPerSecond)
	}
}

func (r *reader) validateDNS() {
	c := r.cfg
	for key, domain := range map[string]string{"domain": c.Domain, "alt_domain": c.AltDomain} {
		if domain == "" && key == "alt_domain" {
			continue
		}
		for label := range strings.SplitSeq(domain, ".") {
			if !nodeNameSyntax.MatchString(label) {
				r.fail(key, "%q is not a DNS domain", domain)
				break
			}
		}
	}
	for _, text := range c.Recursors {
		if _, err := parseIP(text); err != nil && checkJoin(text) != nil {
			r.fail("recursors", "%q is not the address of a DNS server", text)
		}
	}
	d := c.DNSConfig
	r.atLeast("dns_config.udp_answer_limit", d.UDPAnswerLimit, 0)
	r.atLeast("dns_config.a_record_limit", d.ARecordLimit, 0)
	r.oneOf("dns_config.recursor_strategy", d.RecursorStrategy, "sequential", "random")
	ttls := map[string]time.Duration{"dns_config.node_ttl": d.NodeTTL, "dns_config.max_stale": d.MaxStale, "dns_config.recursor_timeout": d.RecursorTimeout, "dns_config.cache_max_age": d.CacheMaxAge}
	for service, ttl := range d.ServiceTTL {
		if i := strings.Index(service, "*"); i >= 0 && i != len(service)-1 {
			r.fail("dns_config.service_ttl", "%q: a star may stand only at the end", service)
		}
		if ttl < 0 {
			r.fail("dns_config.service_ttl", "%s = %v: want zero or more", service, ttl)
		}
	}
	r.notNegative(ttls)
}

func (r *reader) validateLimits() {
	l := r.cfg.Limits
	r.atLeast("limits.http_max_conns_per_client", l.HTTPMaxConnsPerClient, 0)
	r.atLeast("limits.http_max_blocking_per_client", l.HTTPMaxBlockingPerClient, 0)
	r.atLeast("limits.rpc_max_conns_per_client", l.RPCMaxConnsPerClient, 0)
	r.atLeast("limits.rpc_max_burst", l.RPCMaxBurst, 0)
	r.atLeast("check_output_max_size", r.cfg.CheckOutputMaxSize, 1)
	r.atLeast("http_config.max_header_bytes", r.cfg.HTTPConfig.MaxHeaderBytes, 0)
	r.notNegative(map[string]time.Duration{
		"limits.https_handshake_timeout": l.HTTPSHandshakeTimeout,
		"limits.rpc_handshake_timeout":   l.RPCHandshakeTimeout,
		"limits.rpc_client_timeout":      l.RPCClientTimeout,
	})
	const largest = 64 << 20 // what an entry of the Raft log may have
	for key, size := range map[string]int64{"limits.kv_max_value_size": l.KVMaxValueSize, "limits.txn_max_req_len": l.TxnMaxReqLen} {
		if size < 1 || size > largest {
			r.fail(key, "%d: want between 1 and %d bytes", size, largest)
		}
	}
	r.oneOf("limits.request_limits.mode", l.RequestLimits.Mode, "disabled", "permissive", "enforcing")
}

func (r *reader) validateACL() {
	a := r.cfg.ACL
	r.oneOf("acl.default_policy", a.DefaultPolicy, "allow", "deny")
	r.oneOf("acl.down_policy", a.DownPolicy, "allow", "deny", "extend-cache", "async-cache")
	r.notNegative(map[string]time.Duration{"acl.policy_ttl": a.PolicyTTL, "acl.role_ttl": a.RoleTTL, "acl.token_ttl": a.TokenTTL})
}

func (r *reader) validateLog() {
	c := r.cfg
	if _, err := ParseLevel(c.LogLevel); err != nil {
		r.fail("log_level", "%v", err)
	}
	r.atLeast("log_rotate_max_files", c.LogRotateMaxFiles, -1)
	if c.LogRotateBytes < 0 {
		r.fail("log_rotate_bytes", "%d: want a size in bytes, or 0 for any", c.LogRotateBytes)
	}
	if _, ok := Facilities[strings.ToUpper(c.SyslogFacility)]; !ok {
		r.fail("syslog_facility", "%q: use one of %s", c.SyslogFacility, strings.Join(slices.Sorted(maps.Keys(Facilities)), ", "))
	}
	r.notNegative(map[string]time.Duration{"log_rotate_duration": c.LogRotateDuration, "telemetry.prometheus_retention_time": c.Telemetry.PrometheusRetentionTime})
	if key := "ui_config.enabled"; c.UIConfig.Enabled && r.isSet(key) { // the development mode's own default is nobody's wish
		r.warnings = append(r.warnings, Warning{r.set[key], "key " + key + " " + notYet})
	}
	if p := c.UIConfig.ContentPath; !strings.HasPrefix(p, "/") || !strings.HasSuffix(p, "/") {
		r.fail("ui_config.content_path", "%q must begin and end with a slash", p)
	}
	for key, addr := range map[string]string{
		"statsd_address": c.Telemetry.StatsdAddress, "statsite_address": c.Telemetry.StatsiteAddress, "dogstatsd_addr": c.Telemetry.DogstatsdAddr,
	} {
		if host, port, err := net.SplitHostPort(addr); addr != "" && (err != nil || host == "" || port == "") {
			r.fail("telemetry."+key, "%q is no address: want host:port", addr)
		}
	}
	for _, rule := range c.Telemetry.PrefixFilter {
		if len(rule) < 2 || (rule[0] != '+' && rule[0] != '-') {
			r.fail("telemetry.prefix_filter", "%q must begin with + or -", rule)
		}
	}
}

func (r *reader) validateWatches() {
	for i, w := range r.cfg.Watches {
		watch, err := watcher.Parse(w)
		switch {
		case err != nil:
			r.fail("watches", "watch %d: %v", i+1, err)
		case watch.Handler == nil:
			r.fail("watches", "watch %d of type %s has no handler: it needs args, or http_handler_config and handler_type http", i+1, watch.Type)
		}
	}
}

// LevelTrace is below slog's own levels.
const LevelTrace = slog.LevelDebug - 4

// Facilities are those of syslog, by their names.
var Facilities = map[string]int{
	"KERN": 0, "USER": 1, "MAIL": 2, "DAEMON": 3, "AUTH": 4, "SYSLOG": 5, "LPR": 6, "NEWS": 7, "UUCP": 8, "CRON": 9, "AUTHPRIV": 10, "FTP": 11,
	"LOCAL0": 16, "LOCAL1": 17, "LOCAL2": 18, "LOCAL3": 19, "LOCAL4": 20, "LOCAL5": 21, "LOCAL6": 22, "LOCAL7": 23,
}

// ParseLevel reads a log level as configuration files spell it.
func ParseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "err", "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("unknown log level %q: use trace, debug, info, warn or error", text)
}

// inOrder sorts complaints by their place, since some come out of maps, and drops those that come twice.
func inOrder(errs []error) []error {
	slices.SortStableFunc(errs, func(a, b error) int {
		pa, pb := place(a), place(b)
		return cmp.Or(cmp.Compare(pa.File, pb.File), cmp.Compare(pa.Line, pb.Line), cmp.Compare(a.Error(), b.Error()))
	})
	return slices.CompactFunc(errs, func(a, b error) bool { return a.Error() == b.Error() })
}

func place(err error) hcl.Pos {
	if e, ok := errors.AsType[*hcl.Error](err); ok {
		return e.Pos
	}
	return hcl.Pos{}
}
