package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/agent/config/hcl"
)

// Kind is how a flag's text becomes a value.
type Kind int

// The kinds of flag.
const (
	Text   Kind = iota // a string or duration
	Switch             // a boolean that may stand alone
	Whole              // a whole number
	List               // may be repeated, each adds a string
	Pairs              // may be repeated, each adds key:value
)

// Flag is one flag of the agent command. A flag without a Key is not a setting but tells Load where to find some.
type Flag struct {
	Name  string
	Key   string
	Kind  Kind
	Usage string
}

// Names of the flags that are no setting.
const (
	flagDev          = "dev"
	flagConfigFile   = "config-file"
	flagConfigDir    = "config-dir"
	flagConfigFormat = "config-format"
	flagHCL          = "hcl"
)

// Flags returns the flags of the agent command, sorted by name.
func Flags() []Flag {
	return []Flag{
		{"advertise", "advertise_addr", Text, "address that other agents reach this one at, or a template such as {{ GetPrivateIP }}"},
		{"advertise-wan", "advertise_addr_wan", Text, "address that other datacenters reach this server at"},
		{"allow-write-http-from", "http_config.allow_write_http_from", List, "network in CIDR notation that may write through the HTTP API; may be repeated"},
		{"alt-domain", "alt_domain", Text, "second DNS domain that is answered for"},
		{"auto-reload-config", "auto_reload_config", Switch, "watch the configuration files and reload them when they change"},
		{"bind", "bind_addr", Text, "address to listen at for other agents"},
		{"bootstrap", "bootstrap", Switch, "lead at once, without other servers"},
		{"bootstrap-expect", "bootstrap_expect", Whole, "number of servers to wait for before the first election"},
		{"check_output_max_size", "check_output_max_size", Whole, "bytes of a check's output that are kept"},
		{"client", "client_addr", Text, "address to listen at for HTTP, DNS and gRPC clients; several with spaces between"},
		{flagConfigDir, "", List, "directory whose .hcl and .json files are read in the order of their names; may be repeated"},
		{flagConfigFile, "", List, "configuration file; may be repeated, later ones override earlier ones"},
		{flagConfigFormat, "", Text, "read every configuration file as hcl or json, whatever its name"},
		{"data-dir", "data_dir", Text, "directory in which the agent keeps its state"},
		{"datacenter", "datacenter", Text, "datacenter of this agent"},
		{"default-query-time", "default_query_time", Text, "how long a blocking query waits that does not say"},
		{flagDev, "", Switch, "development mode: a server alone on loopback, nothing is kept"},
		{"disable-host-node-id", "disable_host_node_id", Switch, "no effect: the node id never comes from the host"},
		{"disable-keyring-file", "disable_keyring_file", Switch, "do not keep the gossip keyring in the data directory"},
		{"dns-port", "ports.dns", Whole, "port for DNS; -1 for none"},
		{"domain", "domain", Text, "DNS domain that is answered for"},
		{"enable-local-script-checks", "enable_local_script_checks", Switch, "allow script checks that configuration files define"},
		{"enable-script-checks", "enable_script_checks", Switch, "allow script checks, also those registered through the API"},
		{"encrypt", "encrypt", Text, "key for gossip encryption, from parley keygen"},
		{"grpc-port", "ports.grpc", Whole, "port for gRPC and xDS; -1 for none"},
		{"grpc-tls-port", "ports.grpc_tls", Whole, "port for gRPC and xDS over TLS; -1 for none"},
		{flagHCL, "", List, "piece of configuration in HCL; may be repeated"},
		{"http-port", "ports.http", Whole, "port for the HTTP API; -1 for none"},
		{"https-port", "ports.https", Whole, "port for the HTTP API over TLS; -1 for none"},
		{"join", "start_join", List, "former name of -retry-join"},
		{"join-wan", "start_join_wan", List, "former name of -retry-join-wan"},
		{"log-file", "log_file", Text, "file to write the log to as well"},
		{"log-json", "log_json", Switch, "write the log as JSON"},
		{"log-level", "log_level", Text, "trace, debug, info, warn or error"},
		{"log-rotate-bytes", "log_rotate_bytes", Whole, "size at which the log file is replaced"},
		{"log-rotate-duration", "log_rotate_duration", Text, "age at which the log file is replaced"},
		{"log-rotate-max-files", "log_rotate_max_files", Whole, "number of older log files to keep"},
		{"max-query-time", "max_query_time", Text, "how long a blocking query may wait at most"},
		{"node", "node_name", Text, "name of this node; unique in the datacenter"},
		{"node-id", "node_id", Text, "id of this node, a UUID"},
		{"node-meta", "node_meta", Pairs, "key:value of the node's metadata; may be repeated"},
		{"non-voting-server", "non_voting_server", Switch, "former name of -read-replica"},
		{"pid-file", "pid_file", Text, "file to write the process id to"},
		{"primary-gateway", "primary_gateways", List, "mesh gateway of the primary datacenter; may be repeated"},
		{"protocol", "protocol", Whole, "no effect: of a former release"},
		{"raft-protocol", "raft_protocol", Whole, "no effect: of a former release"},
		{"read-replica", "read_replica", Switch, "server that does not vote"},
		{"recursor", "recursors", List, "DNS server for names outside the domain; may be repeated"},
		{"rejoin", "rejoin_after_leave", Switch, "join the known members again after having left"},
		{"retry-interval", "retry_interval", Text, "time between attempts to join"},
		{"retry-interval-wan", "retry_interval_wan", Text, "time between attempts to join other datacenters"},
		{"retry-join", "retry_join", List, "address of an agent to join, again and again until it works; may be repeated"},
		{"retry-join-wan", "retry_join_wan", List, "address of a server of another datacenter to join; may be repeated"},
		{"retry-max", "retry_max", Whole, "attempts to join; 0 for no end"},
		{"retry-max-wan", "retry_max_wan", Whole, "attempts to join other datacenters; 0 for no end"},
		{"segment", "segment", Text, "network segment to join"},
		{"serf-lan-allowed-cidrs", "serf_lan_allowed_cidrs", List, "network in CIDR notation that may gossip; may be repeated"},
		{"serf-lan-bind", "serf_lan", Text, "address to listen at for gossip"},
		{"serf-lan-port", "ports.serf_lan", Whole, "port for gossip"},
		{"serf-wan-allowed-cidrs", "serf_wan_allowed_cidrs", List, "network in CIDR notation that may gossip between datacenters; may be repeated"},
		{"serf-wan-bind", "serf_wan", Text, "address to listen at for gossip between datacenters"},
		{"serf-wan-port", "ports.serf_wan", Whole, "port for gossip between datacenters; -1 for none"},
		{"server", "server", Switch, "be a server"},
		{"server-port", "ports.server", Whole, "port for other agents and servers"},
		{"syslog", "enable_syslog", Switch, "write the log to syslog as well"},
		{"ui", "ui_config.enabled", Switch, "serve the web UI"},
		{"ui-content-path", "ui_config.content_path", Text, "path of the web UI"},
		{"ui-dir", "ui_dir", Text, "directory to serve the web UI from"},
	}
}

// Setting is a flag as it stood on the command line. A switch that stands alone has the value "true".
type Setting struct{ Flag, Value string }

// Settings collects flags in the order in which they were given, since among files, directories and fragments
// the order decides.
type Settings []Setting

// Var returns a flag.Value that adds to the settings each time the flag is given.
func (s *Settings) Var(f Flag) *FlagValue { return &FlagValue{flag: f, to: s} }

// FlagValue is a flag.Value.
type FlagValue struct {
	flag Flag
	to   *Settings
	last string
}

// Set takes a value, or refuses it where its kind alone tells that it is wrong.
func (v *FlagValue) Set(text string) error {
	if _, err := v.flag.value(text); err != nil {
		return err
	}
	v.last = text
	*v.to = append(*v.to, Setting{v.flag.Name, text})
	return nil
}

func (v *FlagValue) String() string {
	if v == nil {
		return ""
	}
	return v.last
}

// IsBoolFlag lets a switch stand without a value.
func (v *FlagValue) IsBoolFlag() bool { return v.flag.Kind == Switch }

// value reads a flag's text as a file would have it.
func (f Flag) value(text string) (*hcl.Value, error) {
	v := &hcl.Value{Pos: hcl.Pos{File: "-" + f.Name}, Kind: hcl.String, Text: text}
	switch f.Kind {
	case Switch:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("want true or false, not %q", text)
		}
		v.Kind, v.True = hcl.Bool, on
	case Whole:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("want a whole number, not %q", text)
		}
		v.Kind = hcl.Number
	case List:
		return &hcl.Value{Pos: v.Pos, Kind: hcl.List, Items: []*hcl.Value{v}}, nil
	case Pairs:
		key, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("want key:value, not %q", text)
		}
		v.Text = value
		return &hcl.Value{Pos: v.Pos, Kind: hcl.Object, Fields: []hcl.Field{{Key: key, Pos: v.Pos, Value: v}}}, nil
	}
	return v, nil
}
