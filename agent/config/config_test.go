package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/agent/tlsconfig"
	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a machine with one private address.
func host() Host {
	return Host{
		Hostname:  func() (string, error) { return "node-1", nil },
		LookupEnv: func(string) (string, bool) { return "", false },
		Addrs:     addrs("127.0.0.1", "10.1.2.3", "fe80::1"),
		Outbound:  func(bool) (netip.Addr, error) { return netip.Addr{}, errors.New("no route") },
		Expand: func(text string) (string, error) {
			return strings.NewReplacer("{{ GetPrivateIP }}", "10.1.2.3", "{{ two }}", "10.1.2.3 10.9.9.9", "{{ none }}", "").Replace(text), nil
		},
	}
}

func addrs(list ...string) func() ([]netip.Addr, error) {
	return func() ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

// file writes one configuration file, HCL unless it begins like JSON.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load loads one file a.hcl, and flags written as on the command line.
func load(t *testing.T, text string, flags ...string) (*Config, []Warning, error) {
	t.Helper()
	path := file(t, t.TempDir(), "a.hcl", text)
	settings := Settings{{flagConfigFile, path}}
	for _, f := range flags {
		name, value, ok := strings.Cut(strings.TrimPrefix(f, "-"), "=")
		if !ok {
			value = "true"
		}
		settings = append(settings, Setting{name, value})
	}
	return Load(Sources{Program: "parley", Settings: settings, Host: host()})
}

func mustLoad(t *testing.T, text string, flags ...string) *Config {
	t.Helper()
	c, _, err := load(t, text, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const data = "data_dir = \"/tmp/x\"\n"

func TestEverySourceOverridesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	single := file(t, t.TempDir(), "z.json", `{"node_name": "file", "log_level": "warn", "retry_join": ["10.0.0.1"], "node_meta": {"a": "1", "b": "1"}}`)
	file(t, dir, "20.hcl", `node_name = "dir-20"  retry_join = ["10.0.0.3"] data_dir = "/d"`)
	file(t, dir, "10.json", `{"node_name": "dir-10", "retry_join": ["10.0.0.2"], "node_meta": {"b": "2"}, "ports": {"http": 1, "dns": 2}}`)
	file(t, dir, "README.md", `not configuration`)
	if err := os.Mkdir(filepath.Join(dir, "sub.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := host()
	h.LookupEnv = func(name string) (string, bool) {
		return `{"datacenter": "env", "node_meta": {"c": "3"}}`, name == "CONSUL_LOCAL_CONFIG"
	}
	c, _, err := Load(Sources{Host: h, Settings: Settings{
		{"config-file", single}, {"config-dir", dir}, {"http-port", "3"}, {"retry-join", "10.0.0.4"}, {"node-meta", "d:4:5"},
		{"hcl", `ports { http = 4 }`}, {"node", "flag"}, {"server", "true"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"node": "flag", "dc": "env", "level": "warn", "http": 4, "dns": 2, "server": true,
		"join":  []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"},
		"meta":  map[string]string{"a": "1", "b": "2", "c": "3", "d": "4:5"},
		"files": []string{single, filepath.Join(dir, "10.json"), filepath.Join(dir, "20.hcl")},
	}
	got := map[string]any{
		"node": c.NodeName, "dc": c.Datacenter, "level": c.LogLevel, "http": c.Ports.HTTP, "dns": c.Ports.DNS, "server": c.Server,
		"join": c.RetryJoin, "meta": c.NodeMeta, "files": c.Files,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestDefaultIsValid(t *testing.T) {
	c := mustLoad(t, data)
	if c.NodeName != "node-1" || c.Addrs.Advertise.String() != "10.1.2.3" || c.Addrs.AdvertiseWAN.String() != "10.1.2.3" {
		t.Errorf("%s at %v", c.NodeName, c.Addrs)
	}
	if got := fmt.Sprint(c.Addrs.HTTP, c.Addrs.DNS, c.Addrs.HTTPS, c.Addrs.GRPC, c.Addrs.GRPCTLS); got != "[127.0.0.1:8500] [127.0.0.1:8600] [] [] []" {
		t.Error(got)
	}
	if c.Server || c.Intentions.Allow || !c.LeavesOnTerminate() || !c.LeavesOnInterrupt() {
		t.Errorf("%+v", c)
	}
	if server := mustLoad(t, data+"server = true"); len(server.Addrs.GRPCTLS) != 1 || server.LeavesOnTerminate() || server.LeavesOnInterrupt() {
		t.Errorf("%+v", server.Addrs)
	}
}

func TestDevNeedsNothing(t *testing.T) {
	c, warnings, err := Load(Sources{Settings: Settings{{"dev", "true"}}, Host: host()})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if !c.Server || !c.Bootstrap || c.Addrs.Advertise.String() != "127.0.0.1" || fmt.Sprint(c.Addrs.GRPC) != "[127.0.0.1:8502]" {
		t.Errorf("%+v", c)
	}
}

func TestSettings(t *testing.T) {
	cases := []struct {
		hcl  string
		got  func(*Config) any
		want any
	}{
		{`bootstrap_expect = 1 server = true`, func(c *Config) any { return c.Bootstrap }, true},
		{`bootstrap_expect = 3 server = true`, func(c *Config) any { return c.BootstrapExpect }, 3},
		{`datacenter = "East"`, func(c *Config) any { return c.Datacenter + c.PrimaryDatacenter }, "easteast"},
		{`domain = "consul."`, func(c *Config) any { return c.Domain }, "consul"},
		{`alt_domain = "consul."`, func(c *Config) any { return c.AltDomain }, ""},
		{`node_id = "11111111-2222-3333-4444-55555555555A"`, func(c *Config) any { return c.NodeID }, "11111111-2222-3333-4444-55555555555a"},
		{`client_addr = "127.0.0.1 {{ GetPrivateIP }}"`, func(c *Config) any { return fmt.Sprint(c.Addrs.HTTP) }, "[127.0.0.1:8500 10.1.2.3:8500]"},
		{`client_addr = "::1"`, func(c *Config) any { return fmt.Sprint(c.Addrs.HTTP) }, "[[::1]:8500]"},
		{`addresses { http = "unix:///run/parley.sock" dns = "0.0.0.0" }`, func(c *Config) any { return fmt.Sprint(c.Addrs.HTTP, c.Addrs.DNS) }, "[/run/parley.sock] [0.0.0.0:8600]"},
		{`ports { http = 0 dns = -1 }`, func(c *Config) any { return fmt.Sprint(c.Addrs.HTTP, c.Addrs.DNS) }, "[127.0.0.1:0] []"},
		{`bind_addr = "10.7.7.7"`, func(c *Config) any { return c.Addrs.Advertise.String() }, "10.7.7.7"},
		{`bind_addr = "{{ GetPrivateIP }}"`, func(c *Config) any { return c.Addrs.Bind.String() }, "10.1.2.3"},
		{`advertise_addr = "10.8.8.8" serf_lan = "10.6.6.6"`, func(c *Config) any { return c.Addrs.Advertise.String() + " " + c.Addrs.SerfLAN.String() }, "10.8.8.8 10.6.6.6"},
		{`retry_join = ["a.example.org", "10.0.0.1:8301", "{{ two }}", "fd00::1", "[fd00::1]:8301"]`, func(c *Config) any { return c.RetryJoin },
			[]string{"a.example.org", "10.0.0.1:8301", "10.1.2.3", "10.9.9.9", "fd00::1", "[fd00::1]:8301"}},
		{`start_join = ["10.0.0.1"] retry_interval = "1s"`, func(c *Config) any { return c.RetryJoin }, []string{"10.0.0.1"}},
		{`leave_on_terminate = false`, func(c *Config) any { return c.LeavesOnTerminate() }, false},
		{`skip_leave_on_interrupt = true`, func(c *Config) any { return c.LeavesOnInterrupt() }, false},
		{`dns_config { node_ttl = "5s" service_ttl { "*" = "2s" web = "7s" } }`, func(c *Config) any { return c.DNSConfig.ServiceTTL }, map[string]time.Duration{"*": 2 * time.Second, "web": 7 * time.Second}},
		{`dns_config { soa { min_ttl = 30 } only_passing = true }`, func(c *Config) any { return c.DNSConfig.SOA }, SOA{3600, 600, 86400, 30}},
		{`performance { raft_multiplier = 1 leave_drain_time = "1s" }`, func(c *Config) any { return c.Performance.RaftMultiplier }, 1},
		{`limits { http_max_conns_per_client = 5 kv_max_value_size = 1024 request_limits { mode = "enforcing" read_rate = 0.5 } }`,
			func(c *Config) any { return c.Limits.RequestLimits.ReadRate + float64(c.Limits.KVMaxValueSize) }, 1024.5},
		{`limits { http_max_blocking_per_client = 7 }`, func(c *Config) any { return c.Limits.HTTPMaxBlockingPerClient }, 7},
		{``, func(c *Config) any { return c.Limits.HTTPMaxBlockingPerClient }, 8192},
		{`acl { enabled = true tokens { agent = "x" } }`, func(c *Config) any { return c.ACL.Tokens.Agent }, "x"},
		{`acl { tokens { master = "x" } }`, func(c *Config) any { return c.ACL.Tokens.InitialManagement }, "x"},
		{`acl_token = "x"`, func(c *Config) any { return c.ACL.Tokens.Default }, "x"},
		{`http_api_response_headers { X-A = "b" }`, func(c *Config) any { return c.HTTPConfig.ResponseHeaders }, map[string]string{"X-A": "b"}},
		{`connect { ca_config { leaf_cert_ttl = "1h" } }`, func(c *Config) any { return c.Connect.CAConfig }, map[string]any{"leaf_cert_ttl": "1h"}},
		{`watches = [{ type = "key" key = "k" handler = "x" }]`, func(c *Config) any { return c.Watches }, []map[string]any{{"type": "key", "key": "k", "handler": "x"}}},
		{`watches = [{ type = "key" key = "k" args = ["x"] }]`, func(c *Config) any { return len(c.Watches) }, 1},
		{`watches { type = "nodes" handler_type = "http" http_handler_config { path = "https://192.0.2.1/x" header = { a = ["b"] } timeout = "1s" } }`, func(c *Config) any { return len(c.Watches) }, 1},
		{`telemetry { prefix_filter = ["+a"] prometheus_retention_time = "1m" }`, func(c *Config) any { return c.Telemetry.PrometheusRetentionTime }, time.Minute},
		{`gossip_lan { probe_interval = "2s" }`, func(c *Config) any { return c.GossipLAN.ProbeInterval }, 2 * time.Second},
		{`locality { region = "r" zone = "z" }`, func(c *Config) any { return *c.Locality }, api.Locality{Region: "r", Zone: "z"}},
		{`recursors = ["8.8.8.8", "10.0.0.1:53", "fd00::1"]`, func(c *Config) any { return len(c.Recursors) }, 3},
		{`raft_logstore { wal { segment_size_mb = 4 } }`, func(c *Config) any { return c.RaftLogstore.WAL.SegmentSizeMB }, 4},
		{`config_entries { bootstrap = [{ kind = "service-defaults" name = "web" protocol = "http" }] }`, func(c *Config) any { return c.ConfigEntries.Entries[0].EntryName() }, "web"},
		{`tls { defaults { ca_file = "ca" verify_outgoing = true } https { verify_incoming = true, ca_file = "other" } }`,
			func(c *Config) any { return []tlsconfig.Options{c.TLS.InternalRPC, c.TLS.HTTPS} },
			[]tlsconfig.Options{{CAFile: "ca", VerifyOutgoing: true}, {CAFile: "other", VerifyIncoming: true, VerifyOutgoing: true}}},
		{`ca_file = "ca" verify_server_hostname = true tls_min_version = "tls12"`, func(c *Config) any { return c.TLS.InternalRPC },
			tlsconfig.Options{CAFile: "ca", VerifyServerHostname: true, VerifyOutgoing: true, TLSMinVersion: "tls12"}},
	}
	for _, tc := range cases {
		t.Run(tc.hcl, func(t *testing.T) {
			if got := tc.got(mustLoad(t, data+tc.hcl)); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		hcl   string
		flags []string
		want  []string
	}{
		{hcl: "service {\n prot = 1\n}", want: []string{"a.hcl:2: unknown key service.prot (did you mean port?)"}},
		{hcl: "services {\n name = \"a\"\n}\nservices {\n name = \"b\"\n ports = 1\n}", want: []string{"a.hcl:6: unknown key services[1].ports (did you mean port?)"}},
		{hcl: "service {\n port = 1\n}", want: []string{"a.hcl:1: service needs a name"}},
		{hcl: "service {\n name = \"a\"\n check { interval = \"often\" }\n}", want: []string{"a.hcl:3: service.check.interval", `"often"`}},
		{hcl: "checks = [{ name = \"x\" ttl = 7, bogus = 1 }]", want: []string{"a.hcl:1: unknown key checks.bogus"}},
		{hcl: "datacentre = \"x\"", want: []string{"a.hcl:1: unknown key datacentre (did you mean datacenter?)"}},
		{hcl: "ports {\n htp = 1\n}", want: []string{"a.hcl:2: unknown key ports.htp (did you mean http?)"}},
		{hcl: "ports {\n http = 65536\n dns = -2\n}", want: []string{"a.hcl:2: ports.http: 65536: want a port up to 65535", "a.hcl:3: ports.dns: -2"}},
		{hcl: "ports { server = -1 }", want: []string{"a.hcl:1: ports.server: an agent cannot do without"}},
		{hcl: "ports {\n http = 8600\n}", want: []string{"a.hcl:2: ports.http: 127.0.0.1:8600 is taken by ports.dns already"}},
		{hcl: "ports {\n grpc = 8301\n}", want: []string{"a.hcl:2: ports.grpc: ", "is taken by ports.serf_lan already"}},
		{hcl: "ports { sidecar_min_port = 100 sidecar_max_port = 99 }", want: []string{"ports.sidecar_max_port: 99: want a port between 100 (ports.sidecar_min_port) and 65535"}},
		{hcl: `bind_addr = "eth0"`, want: []string{`a.hcl:1: bind_addr: "eth0" is not an IP address`}},
		{hcl: `bind_addr = "{{ two }}"`, want: []string{`bind_addr: "{{ two }}" comes to 2 addresses; want one`}},
		{hcl: `bind_addr = "{{ none }}"`, want: []string{`bind_addr: template {{ none }}: it matches no address of this host`}},
		{hcl: `client_addr = ""`, want: []string{`client_addr: "" names no address`}},
		{hcl: `addresses { dns = "unix:///x" }`, want: []string{"addresses.dns: DNS cannot be served on a Unix socket"}},
		{hcl: `advertise_addr = "0.0.0.0"`, want: []string{"advertise_addr: 0.0.0.0 is no address that others could reach"}},
		{hcl: `bootstrap = true bootstrap_expect = 3 server = true`, want: []string{"bootstrap_expect: excludes bootstrap"}},
		{hcl: `bootstrap_expect = 3`, want: []string{"a.hcl:1: bootstrap_expect: is for servers"}},
		{flags: []string{"-bootstrap-expect=3"}, want: []string{"-bootstrap-expect: bootstrap_expect: is for servers"}},
		{flags: []string{"-dev", "-bootstrap-expect=3"}, want: []string{"-bootstrap-expect: bootstrap_expect: a development agent is a server alone"}},
		{hcl: `bootstrap = true`, want: []string{"bootstrap: is for servers"}},
		{flags: []string{"-data-dir="}, want: []string{"-data-dir: data_dir: must be set"}},
		{hcl: `datacenter = "a b"`, want: []string{`datacenter: "a b" cannot name a datacenter`}},
		{hcl: `node_name = "a b"`, want: []string{`node_name: "a b" cannot name a node`}},
		{hcl: `node_id = "nope"`, want: []string{`node_id: "nope" is not a UUID`}},
		{hcl: `node_meta { "consul-x" = "y" }`, want: []string{"names that begin with consul- are reserved"}},
		{hcl: `node_meta { "a b" = "y" }`, want: []string{`key "a b": want letters`}},
		{hcl: `retry_join = ["10.0.0.1:x"]`, want: []string{`retry_join: "10.0.0.1:x": the port must be between 1 and 65535`}},
		{hcl: `retry_join = ["http://x"]`, want: []string{`retry_join: "http://x"`}},
		{hcl: `retry_interval = "0s"`, want: []string{"retry_interval: 0s: want a time above zero"}},
		{hcl: `retry_interval = "soon"`, want: []string{`a.hcl:1: retry_interval wants a duration such as "10s", not the string "soon"`}},
		{hcl: `encrypt = "c2hvcnQ="`, want: []string{"encrypt: want a key of 16, 24 or 32 bytes in base64"}},
		{hcl: `log_level = "loud"`, want: []string{`log_level: unknown log level "loud"`}},
		{hcl: `performance { raft_multiplier = 11 }`, want: []string{"performance.raft_multiplier: 11: want a number between 1 and 10"}},
		{hcl: `default_intention_policy = "maybe"`, want: []string{`default_intention_policy: "maybe": use allow or deny`}},
		{hcl: `acl { default_policy = "x" down_policy = "y" }`, want: []string{`acl.default_policy: "x"`, `acl.down_policy: "y"`}},
		{hcl: `dns_config { udp_answer_limit = -1 recursor_strategy = "x" service_ttl { "a*b" = "1s" } }`, want: []string{"udp_answer_limit: -1", "recursor_strategy", "a star may stand only at the end"}},
		{hcl: `recursors = ["a b"]`, want: []string{`recursors: "a b" is not the address of a DNS server`}},
		{hcl: `domain = "-a..b"`, want: []string{`domain: "-a..b" is not a DNS domain`}},
		{hcl: `limits { kv_max_value_size = 0 }`, want: []string{"limits.kv_max_value_size: 0"}},
		{hcl: `http_config { allow_write_http_from = ["10.0.0.1"] }`, want: []string{`"10.0.0.1" is not a network`}},
		{hcl: `default_query_time = "20m"`, want: []string{"default_query_time: 20m0s is longer than max_query_time"}},
		{hcl: `ports { https = 8501 }`, want: []string{"ports.https: an HTTPS listener needs tls.https.cert_file"}},
		{hcl: "tls {\n defaults {\n  cert_file = \"c\"\n }\n}", want: []string{"a.hcl:3: tls.defaults.cert_file: goes together"}},
		{hcl: `tls { grpc { verify_incoming = true } }`, want: []string{"tls.grpc.verify_incoming: needs a ca_file or ca_path"}},
		{hcl: `tls { defaults { tls_min_version = "TLSv1_0" } }`, want: []string{"tls.defaults.tls_min_version: tls_min_version TLSv1_0 is no longer safe"}},
		{hcl: `verify_incoming = "yes"`, want: []string{`a.hcl:1: tls.defaults.verify_incoming wants true or false, not the string "yes"`}},
		{hcl: `watches = [{ handler = "x" }]`, want: []string{"a.hcl:1: watches: watch 1: a watch needs a type"}},
		{hcl: `watches = [{ type = "nodes" }]`, want: []string{"watches: watch 1 of type nodes has no handler"}},
		{hcl: `watches = [{ type = "nodes" args = ["x"] }, { type = "key" args = ["x"] }]`, want: []string{"watches: watch 2: watch of type key: key is missing"}},
		{hcl: `config_entries { bootstrap = [{ kind = "nope" }] }`, want: []string{"a.hcl:1: ", "nope"}},
		{hcl: `config_entries { bootstrap = [{ kind = "service-defaults" nme = "x" }] }`, want: []string{"a.hcl:1: unknown key nme (did you mean name?)"}},
		{hcl: "check { name = \"a\" script = \"/bin/x\" interval = \"5s\" }", want: []string{"a.hcl:1: check.script is of a former release; give the program"}},
		{hcl: "service {\n name = \"a\"\n check { ttl = \"5s\" }\n check { ttl = \"6s\" }\n}", want: []string{"a.hcl:4: service.check is already set in line 3; several go into service.checks"}},
		{hcl: `telemetry { prefix_filter = ["x"] }`, want: []string{`telemetry.prefix_filter: "x" must begin with + or -`}},
		{hcl: `ui_config { content_path = "ui" }`, want: []string{`ui_config.content_path: "ui" must begin and end with a slash`}},
		{flags: []string{"-http-port=x"}, want: []string{`-http-port: want a whole number, not "x"`}},
		{flags: []string{"-http-port=70000"}, want: []string{`-http-port: ports.http: 70000`}},
		{flags: []string{"-node-meta=x"}, want: []string{`-node-meta: want key:value, not "x"`}},
		{flags: []string{"-hcl=prots {}"}, want: []string{`-hcl:1: unknown key prots (did you mean ports?)`}},
		{flags: []string{"-config-file=/none.hcl"}, want: []string{`-config-file: stat /none.hcl: no such file`}},
		{flags: []string{"-config-format=yaml"}, want: []string{`-config-format yaml: use hcl or json`}},
		{flags: []string{"-nope"}, want: []string{"unknown flag -nope"}},
		{hcl: "log_level = \"x\"\nencrypt = \"y\"\nnode_id = \"z\"", want: []string{"a.hcl:1: log_level", "a.hcl:2: encrypt", "a.hcl:3: node_id"}},
	}
	for _, tc := range cases {
		t.Run(tc.hcl+strings.Join(tc.flags, " "), func(t *testing.T) {
			c, _, err := load(t, tc.hcl, append([]string{"-data-dir=/d"}, tc.flags...)...)
			if err == nil {
				err = errors.Join(c.Refused...)
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; n > len(tc.want) {
				t.Errorf("%d complaints instead of %d: %v", n, len(tc.want), err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	cases := map[string]string{
		"bootstrap_expect = 4\nserver = true":     "a.hcl:1: bootstrap_expect: 4 servers tolerate no more failures than 3",
		"bootstrap_expect = 2\nserver = true":     "a.hcl:1: bootstrap_expect: 2 servers tolerate no failure",
		`node_name = "a_b"`:                       `a.hcl:1: node_name: "a_b" cannot be looked up in DNS`,
		"audit {\n enabled = true\n}":             "a.hcl:1: key audit is accepted but has no effect yet",
		`license_path = "x"`:                      "a.hcl:1: key license_path has no effect here",
		`telemetry { disable_compat_1.9 = true }`: "a.hcl:1: key telemetry.disable_compat_1.9 is of a former release",
		`start_join = ["10.0.0.1"]`:               "a.hcl:1: start_join is deprecated; use retry_join",
		`retry_join = ["provider=aws tag=x"]`:     "a.hcl:1: retry_join: provider=aws tag=x: finding agents through a cloud provider has no effect yet",
		`disable_update_check = true`:             "",
		`ui_config { enabled = true }`:            "a.hcl:1: key ui_config.enabled is accepted but has no effect yet",
		`ui_config { content_path = "/x/" }`:      "a.hcl:1: key ui_config.content_path is accepted but has no effect yet",
		`ui_config { enabled = false }`:           "",
		`acl { enabled = false }`:                 "",
		`acl { enabled = true }`:                  "", // the agent refuses it
	}
	for text, want := range cases {
		t.Run(text, func(t *testing.T) {
			_, warnings, err := load(t, text+"\n"+data)
			if err != nil {
				t.Fatal(err)
			}
			if want == "" && len(warnings) == 0 {
				return
			}
			if len(warnings) != 1 || want == "" || !strings.Contains(warnings[0].String(), want) {
				t.Errorf("got %v, want %s", warnings, want)
			}
		})
	}
}

func TestFlagOfTheUI(t *testing.T) {
	for line, want := range map[string]int{"-dev": 0, "-dev -ui": 1, "-dev -ui=false": 0, "-data-dir=/d -ui": 1} {
		_, warnings, err := load(t, "", strings.Fields(line)...)
		if err != nil || len(warnings) != want {
			t.Errorf("%s: got %v, %v, want %d warnings", line, warnings, err, want)
		}
	}
}

func TestAdvertisedAddress(t *testing.T) {
	cases := []struct {
		name     string
		addrs    []string
		outbound string
		bind     string
		want     string // an address, or part of an error
	}{
		{"one private", []string{"127.0.0.1", "192.168.1.2", "203.0.113.1"}, "", "0.0.0.0", "192.168.1.2"},
		{"the one of the default route", []string{"172.17.0.1", "10.0.0.5"}, "10.0.0.5", "0.0.0.0", "10.0.0.5"},
		{"public only", []string{"203.0.113.1"}, "", "0.0.0.0", "203.0.113.1"},
		{"loopback only", []string{"127.0.0.1", "::1"}, "", "0.0.0.0", "127.0.0.1"},
		{"several, none preferred", []string{"172.17.0.1", "10.0.0.5"}, "", "0.0.0.0", "this host has several addresses (172.17.0.1, 10.0.0.5)"},
		{"IPv6", []string{"10.0.0.5", "fd00::5", "fe80::1"}, "", "::", "fd00::5"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h := host()
			h.Addrs = addrs(tc.addrs...)
			if tc.outbound != "" {
				h.Outbound = func(bool) (netip.Addr, error) { return netip.ParseAddr(tc.outbound) }
			}
			c, _, err := Load(Sources{Host: h, Settings: Settings{{"data-dir", "/d"}, {"bind", tc.bind}}})
			switch {
			case err != nil && !strings.Contains(err.Error(), tc.want):
				t.Error(err)
			case err == nil && c.Addrs.Advertise.String() != tc.want:
				t.Errorf("got %v, want %s", c.Addrs.Advertise, tc.want)
			}
		})
	}
}

func TestRealHost(t *testing.T) {
	if _, _, err := Load(Sources{Settings: Settings{{"dev", "true"}, {"hcl", `client_addr = "{{ GetInterfaceIP \"lo\" }}"`}}}); err != nil && !strings.Contains(err.Error(), "client_addr") {
		t.Error(err)
	}
	if all, err := (Host{}).addrs(); err != nil || len(all) == 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestIntentionDefault(t *testing.T) {
	cases := []struct {
		program, hcl string
		allow        bool
		why          string
		warns        bool
	}{
		{"parley", ``, false, "Parley's default", false},
		{"/usr/bin/parley", `acl { default_policy = "allow" }`, false, "Parley's default", false},
		{"parley", `default_intention_policy = "allow"`, true, `default_intention_policy is set to "allow" (`, false},
		{"consul", `default_intention_policy = "deny"`, false, `is set to "deny"`, false},
		{"/usr/local/bin/consul", ``, true, "all is allowed while ACLs are off; set default_intention_policy", true},
		{"consul.exe", `acl { enabled = true default_policy = "deny" }`, false, `acl.default_policy ("deny") decides`, false},
		{"consul", `acl { enabled = true }`, true, `acl.default_policy ("allow") decides`, true},
		{"consul-template", ``, false, "Parley's default", false},
	}
	for _, tc := range cases {
		t.Run(tc.program+" "+tc.hcl, func(t *testing.T) {
			path := file(t, t.TempDir(), "a.hcl", data+tc.hcl)
			c, warnings, err := Load(Sources{Program: tc.program, Settings: Settings{{"config-file", path}}, Host: host()})
			if err != nil {
				t.Fatal(err)
			}
			if d := c.Intentions; d.Allow != tc.allow || !strings.Contains(d.Why, tc.why) || (len(warnings) > 0) != tc.warns {
				t.Errorf("%v, %v", d, warnings)
			}
		})
	}
}

func TestDefinitions(t *testing.T) {
	c := mustLoad(t, data+`
		service {
			id = "w1"
			name = "web"
			port = 80
			tags = ["a"]
			meta { k = "v" }
			weights { passing = 4 warning = 1 }
			tagged_addresses { wan { address = "198.51.100.9" port = 8 } }
			checks = [{ name = "alive", status = "passing", ttl = "60s" }, { args = ["/bin/true"], interval = "5s" }]
		}
		services = [{
			Name = "px"
			Connect { SidecarService { Proxy { Upstreams = [{ DestinationName = "db", LocalBindPort = 9000, Config { protocol = "tcp" } }] } } }
		}]
		check { id = "node-ttl" name = "node ttl" status = "warning" ttl = "60s" }`)
	want := []api.ServiceDefinition{
		{
			ID: "w1", Name: "web", Port: 80, Tags: []string{"a"}, Meta: map[string]string{"k": "v"}, Weights: &api.Weights{Passing: 4, Warning: 1},
			TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "198.51.100.9", Port: 8}},
			Checks: []api.CheckDefinition{
				{Name: "alive", Status: "passing", TTL: api.Duration(time.Minute)}, {Args: []string{"/bin/true"}, Interval: api.Duration(5 * time.Second)},
			},
		},
		{Name: "px", Connect: &api.Connect{SidecarService: &api.ServiceDefinition{Proxy: &api.Proxy{
			Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: 9000, Config: map[string]any{"protocol": "tcp"}}},
		}}}},
	}
	if !reflect.DeepEqual(c.Services, want) {
		t.Errorf("got %+v", c.Services)
	}
	if len(c.Checks) != 1 || c.Checks[0].ID != "node-ttl" || c.Checks[0].TTL != api.Duration(time.Minute) {
		t.Errorf("got %+v", c.Checks)
	}
}

// TestRefusedRegistration has a directory in which some files that register something are wrong, each in another way. They are
// named, and the rest is in force; what is wrong with a setting stops everything.
func TestRefusedRegistration(t *testing.T) {
	for text, want := range map[string]string{
		"a.hcl service {\n name = \"a\"\n prot = 80\n}":                      "a.hcl:3: unknown key service.prot",
		"a.hcl service {\n name = \"a\"\n port = \"many\"\n}":                "a.hcl:3: service.port",
		"a.hcl service { port = 80 }":                                        "service needs a name",
		"a.hcl service {\n name = \"a\"":                                     "a.hcl:",
		"a.hcl services = [{ name = \"a\" }, { name = 1, check = { ttl = }]": "a.hcl:",
		"a.hcl check {\n name = \"a\"\n ttl = \n}":                           "a.hcl:",
		`a.json {"service": {"name": "a", "port": 80,}}`:                     "a.json:",
		`a.json {"service": {"name": "a"}`:                                   "a.json:",
		`a.json {"checks": [{"name": "a", "intervall": "10s"}]}`:             "did you mean interval?",
		`a.json {"service": {"name": "a"}, "check": {"nam": "x"}}`:           "check.nam",
	} {
		dir := t.TempDir()
		name, text, _ := strings.Cut(text, " ")
		file(t, dir, name, text)
		file(t, dir, "z.hcl", `service { name = "z" } data_dir = "/var/lib/parley"`)
		c, _, err := Load(Sources{Program: "parley", Settings: Settings{{"config-dir", dir}}, Host: host()})
		if err != nil || len(c.Refused) != 1 || !strings.Contains(c.Refused[0].Error(), want) {
			t.Errorf("%s: %v, refused %v; want %s", text, err, c, want)
			continue
		}
		if len(c.Services) != 1 || c.Services[0].Name != "z" || len(c.Checks) != 0 {
			t.Errorf("%s: services %+v, checks %+v", text, c.Services, c.Checks)
		}
	}
	for _, text := range []string{
		"service {\n name = \"a\"\n}\nencrypt = \n", "encrypt = \"x\"\nservice {", "service { name = \"a\" prot = 80 }\nacl { enabled = true }",
		"service {\n name = \"a\"\n}}\nverify_incoming = true", "nonsense", "", "service { name = \"a\" }\n tls { defaults { verify_incomin = true } }",
	} {
		dir := t.TempDir()
		file(t, dir, "a.hcl", text)
		if c, _, err := Load(Sources{Program: "parley", Settings: Settings{{"config-dir", dir}, {"dev", "true"}}, Host: host()}); err == nil && text != "" {
			t.Errorf("%q does not stop the agent: %v", text, c.Refused)
		}
	}
}

func TestLoadDefinitions(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "b.json", `{"service": {"name": "b"}}`)
	file(t, dir, "a.hcl", `service { name = "a" }`)
	single := file(t, t.TempDir(), "c.hcl", `services { name = "c1" } services { name = "c2" } checks { name = "k" } datacenter = "x"`)
	services, checks, err := LoadDefinitions(dir, single)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c1", "c2"}) || len(checks) != 1 {
		t.Errorf("%v, %v", names, checks)
	}
	bad := file(t, t.TempDir(), "bad.hcl", "service {\n name = \"x\"\n prot = 80\n}")
	if _, _, err := LoadDefinitions(bad); err == nil || !strings.Contains(err.Error(), "bad.hcl:3: unknown key service.prot (did you mean port?)") {
		t.Error(err)
	}
	if _, _, err := LoadDefinitions("/none.json"); err == nil || !strings.Contains(err.Error(), "/none.json") {
		t.Error(err)
	}
}

// The tables speak of keys; this finds one that does not exist.
func TestTablesNameKnownKeys(t *testing.T) {
	flags := Flags()
	if !slices.IsSortedFunc(flags, func(a, b Flag) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("flags are not sorted")
	}
	examples := map[Kind]string{Text: "x", Switch: "true", Whole: "1", List: "x", Pairs: "a:b"}
	for _, f := range flags {
		if f.Key == "" {
			continue
		}
		value, err := f.value(examples[f.Kind])
		if err != nil {
			t.Fatal(err)
		}
		r := newReader(Default())
		r.add(hcl.Nest(f.Key, value))
		for _, err := range r.errs {
			if !strings.Contains(err.Error(), "wants a duration") {
				t.Errorf("flag -%s: %v", f.Name, err)
			}
		}
	}
	for old, key := range deprecated {
		r := newReader(Default())
		r.add(hcl.Nest(key, &hcl.Value{Kind: hcl.Null}))
		if err := errors.Join(r.errs...); err != nil {
			t.Errorf("%s: %v", old, err)
		}
	}
}

func TestFlagValues(t *testing.T) {
	var s Settings
	for _, f := range Flags() {
		v := s.Var(f)
		if v.IsBoolFlag() != (f.Kind == Switch) || v.String() != "" {
			t.Errorf("-%s", f.Name)
		}
		if f.Kind == Switch && f.Key != "" && v.Set("perhaps") == nil {
			t.Errorf("-%s took nonsense", f.Name)
		}
	}
	if err := s.Var(Flag{"http-port", "ports.http", Whole, ""}).Set("9"); err != nil || !slices.Equal(s, Settings{{"http-port", "9"}}) {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{data, `service { name = "x" check { ttl = "1s" } }`, `{"ports": {"http": 1}}`, `acl_token = "x" tls { https { ca_file = "x" } }`, `config_entries { bootstrap { kind = "service-intentions" } }`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []hcl.Format{hcl.HCL, hcl.JSON} {
			tree, err := hcl.Parse("f", []byte(text), format)
			if err != nil {
				continue
			}
			h := host()
			h.Expand = func(string) (string, error) { return "", errors.New("not here") }
			r := newReader(Default())
			r.add(tree)
			r.finish(Sources{Host: h})
			r.validate()
			for _, err := range r.errs {
				if err.Error() == "" {
					t.Fatal("an empty complaint")
				}
			}
		}
	})
}
