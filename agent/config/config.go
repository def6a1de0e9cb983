// Package config turns configuration files, flags and the environment into one validated Config, and tells what
// is wrong with them all at once, each complaint with its file, line and key. It also reads the files that
// define services and checks.
//
// Config is laid out as the files are, and every setting exists once: a field here is a key there, its default
// stands in Default, its flag in Flags. Values that follow from several settings (addresses, the intention
// default) are worked out by Load. What a setting does is its user's; nothing is opened or dialled here.
package config

import (
	"time"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

// Config is everything that an agent is told before it starts. Sizes are in bytes.
type Config struct {
	// Who this agent is.
	NodeName          string
	NodeID            string // empty: kept in, or made for, the data directory
	NodeMeta          map[string]string
	Datacenter        string
	PrimaryDatacenter string // of ACLs and intentions; empty: Datacenter
	Locality          *api.Locality
	DataDir           string // empty only in development mode

	// What it is.
	Dev             bool `hcl:"-"`
	Server          bool
	Bootstrap       bool // lead at once, alone
	BootstrapExpect int  // servers to wait for before the first election

	// Where it is reached. These are as written; Addrs has what they come to.
	BindAddr             string
	AdvertiseAddr        string
	AdvertiseAddrIPv4    string `hcl:"advertise_addr_ipv4"`
	AdvertiseAddrIPv6    string `hcl:"advertise_addr_ipv6"`
	AdvertiseAddrWAN     string
	AdvertiseAddrWANIPv4 string `hcl:"advertise_addr_wan_ipv4"`
	AdvertiseAddrWANIPv6 string `hcl:"advertise_addr_wan_ipv6"`
	ClientAddr           string
	SerfLAN              string
	SerfWAN              string
	SerfLANAllowedCIDRs  []string `hcl:"serf_lan_allowed_cidrs"`
	SerfWANAllowedCIDRs  []string `hcl:"serf_wan_allowed_cidrs"`
	Addresses            Addresses
	Ports                Ports
	UnixSockets          UnixSockets
	TranslateWANAddrs    bool
	Addrs                Addrs `hcl:"-"`

	// Whom it joins.
	RetryJoin               []string
	RetryJoinWAN            []string
	RetryInterval           time.Duration
	RetryIntervalWAN        time.Duration
	RetryMax                int // 0: without end
	RetryMaxWAN             int
	RejoinAfterLeave        bool
	LeaveOnTerminate        *bool         // nil: clients leave, servers do not
	SkipLeaveOnInterrupt    *bool         // nil: the other way round
	AdvertiseReconnect      time.Duration `hcl:"advertise_reconnect_timeout"`
	ReconnectTimeout        time.Duration
	ReconnectTimeoutWAN     time.Duration
	Encrypt                 string
	EncryptVerifyIncoming   bool
	EncryptVerifyOutgoing   bool
	DisableKeyringFile      bool
	DisableCoordinates      bool
	GossipLAN               Gossip
	GossipWAN               Gossip
	Performance             Performance
	RaftSnapshotThreshold   int
	RaftSnapshotInterval    time.Duration
	RaftTrailingLogs        int
	RaftPrevoteDisabled     bool
	RaftLogstore            RaftLogstore
	Autopilot               Autopilot
	Limits                  Limits
	SessionTTLMin           time.Duration
	DefaultQueryTime        time.Duration
	MaxQueryTime            time.Duration
	DiscoveryMaxStale       time.Duration
	CheckUpdateInterval     time.Duration
	CheckOutputMaxSize      int
	DiscardCheckOutput      bool
	EnableScriptChecks      bool
	EnableLocalScriptChecks bool
	DisableRemoteExec       bool
	EnableAgentTLSForChecks bool

	// What it serves.
	Domain     string
	AltDomain  string
	Recursors  []string
	DNSConfig  DNS
	HTTPConfig HTTP
	UIConfig   UI
	XDS        XDS
	Connect    Connect
	TLS        TLS
	ServerName string // of this agent's certificate; empty: NodeName
	ACL        ACL

	DefaultIntentionPolicy string
	Intentions             IntentionDefault `hcl:"-"`

	Services      []api.ServiceDefinition `hcl:"-"`
	Checks        []api.CheckDefinition   `hcl:"-"`
	Refused       []error                 `hcl:"-"` // why some files that define services and checks are left out
	ConfigEntries ConfigEntries
	Watches       []map[string]any

	// How it is run.
	LogLevel          string
	LogJSON           bool
	LogFile           string
	LogRotateDuration time.Duration
	LogRotateBytes    int64
	LogRotateMaxFiles int  // former files to keep; 0: all, -1: none
	EnableSyslog      bool // the log goes to syslog as well
	SyslogFacility    string
	PidFile           string
	AutoReloadConfig  bool
	EnableDebug       bool
	Telemetry         Telemetry

	// Files lists the configuration files that were read, for whoever watches them for changes.
	Files []string `hcl:"-"`
}

// Addresses overrides ClientAddr for one listener.
type Addresses struct {
	DNS, HTTP, HTTPS, GRPC string
	GRPCTLS                string `hcl:"grpc_tls"`
}

// Ports to listen at: Closed for none, 0 for any that is free.
type Ports struct {
	DNS, HTTP, HTTPS, GRPC int
	GRPCTLS                int `hcl:"grpc_tls"`
	SerfLAN, SerfWAN       int
	Server                 int // RPC and Raft

	// Ranges that sidecars and exposed checks are given ports from.
	SidecarMinPort, SidecarMaxPort int
	ExposeMinPort, ExposeMaxPort   int
}

// Closed is the port of a listener that is not wanted.
const Closed = -1

// UnixSockets says to whom sockets in the file system belong.
type UnixSockets struct{ User, Group, Mode string }

// Gossip tunes memberlist.
type Gossip struct {
	GossipNodes    int
	GossipInterval time.Duration
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	SuspicionMult  int
	RetransmitMult int
}

// Performance tunes Raft and what waits for it.
type Performance struct {
	RaftMultiplier        int // 0: our own timing, else the factor of the usual one
	LeaveDrainTime        time.Duration
	RPCHoldTimeout        time.Duration
	GRPCKeepaliveInterval time.Duration `hcl:"grpc_keepalive_interval"`
	GRPCKeepaliveTimeout  time.Duration `hcl:"grpc_keepalive_timeout"`
}

// RaftLogstore tunes the Raft log on disk.
type RaftLogstore struct {
	WAL struct{ SegmentSizeMB int }
}

// Autopilot is the first autopilot configuration of a new datacenter.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         int
	MinQuorum               int
	ServerStabilizationTime time.Duration
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
}

// Limits bounds what clients may ask of this agent. A negative rate is none.
type Limits struct {
	HTTPMaxConnsPerClient int
	// HTTPMaxBlockingPerClient bounds the blocking queries of one address that wait at a time; 0: only those of all are bounded.
	HTTPMaxBlockingPerClient int
	HTTPSHandshakeTimeout    time.Duration
	RPCHandshakeTimeout      time.Duration
	RPCClientTimeout         time.Duration
	RPCMaxConnsPerClient     int
	RPCRate                  float64
	RPCMaxBurst              int
	KVMaxValueSize           int64
	TxnMaxReqLen             int64
	RequestLimits            RequestLimits
}

// RequestLimits are the rates at which a server takes requests, of everybody together.
type RequestLimits struct {
	Mode                string // "disabled", "permissive" (only told) or "enforcing"
	ReadRate, WriteRate float64
}

// DNS is how DNS answers are made.
type DNS struct {
	AllowStale                  bool
	MaxStale                    time.Duration
	NodeTTL                     time.Duration
	ServiceTTL                  map[string]time.Duration // by name, or prefix and "*"
	EnableTruncate              bool
	OnlyPassing                 bool
	RecursorStrategy            string // "sequential" or "random"
	RecursorTimeout             time.Duration
	DisableCompression          bool
	UDPAnswerLimit              int
	ARecordLimit                int
	EnableAdditionalNodeMetaTXT bool
	SOA                         SOA
	UseCache                    bool
	CacheMaxAge                 time.Duration
	PreferNamespace             bool
}

// SOA is the start-of-authority record, in seconds.
type SOA struct{ Refresh, Retry, Expire, MinTTL uint32 }

// HTTP is how the HTTP API behaves.
type HTTP struct {
	AllowWriteHTTPFrom []string
	BlockEndpoints     []string
	ResponseHeaders    map[string]string
	MaxHeaderBytes     int
}

// UI is the web UI.
type UI struct {
	Enabled               bool
	ContentPath           string
	DashboardURLTemplates map[string]string
}

// XDS bounds the work of the xDS server.
type XDS struct {
	UpdateMaxPerSecond float64
}

// Connect is the mesh and its certificate authority.
type Connect struct {
	Enabled    bool
	CAProvider string
	CAConfig   map[string]any
}

// ACL is access control.
type ACL struct {
	Enabled                bool
	DefaultPolicy          string
	DownPolicy             string
	PolicyTTL              time.Duration
	RoleTTL                time.Duration
	TokenTTL               time.Duration
	EnableKeyListPolicy    bool
	EnableTokenPersistence bool
	EnableTokenReplication bool
	Tokens                 Tokens
}

// Tokens are the ones that the agent itself uses.
type Tokens struct {
	InitialManagement             string
	Agent                         string
	AgentRecovery                 string
	Default                       string
	DNS                           string
	Replication                   string
	ConfigFileServiceRegistration string
}

// ConfigEntries are written once, when a datacenter is new.
type ConfigEntries struct {
	Bootstrap []*hcl.Value
	Entries   []api.ConfigEntry `hcl:"-"` // what Bootstrap comes to
}

// Telemetry is what is counted and how it is called.
type Telemetry struct {
	DisableHostname         bool
	FilterDefault           bool
	MetricsPrefix           string
	PrefixFilter            []string
	PrometheusRetentionTime time.Duration
	StatsdAddress           string // each of these is where figures are sent to; empty: nowhere
	StatsiteAddress         string
	DogstatsdAddr           string
	DogstatsdTags           []string
}

// Default is the configuration of an agent that is told nothing.
func Default() *Config {
	return &Config{
		Datacenter: "dc1",
		BindAddr:   "0.0.0.0",
		ClientAddr: "127.0.0.1",
		Ports: Ports{
			DNS: 8600, HTTP: 8500, HTTPS: Closed, GRPC: Closed, GRPCTLS: Closed, SerfLAN: 8301, SerfWAN: 8302, Server: 8300,
			SidecarMinPort: 21000, SidecarMaxPort: 21255, ExposeMinPort: 21500, ExposeMaxPort: 21755,
		},
		RetryInterval:         30 * time.Second,
		RetryIntervalWAN:      30 * time.Second,
		ReconnectTimeout:      72 * time.Hour, // a member that failed may come back from a long weekend
		ReconnectTimeoutWAN:   72 * time.Hour,
		EncryptVerifyIncoming: true,
		EncryptVerifyOutgoing: true,
		GossipLAN: Gossip{
			GossipNodes: 3, GossipInterval: 200 * time.Millisecond, ProbeInterval: time.Second, ProbeTimeout: 500 * time.Millisecond,
			SuspicionMult: 4, RetransmitMult: 4,
		},
		GossipWAN: Gossip{
			GossipNodes: 4, GossipInterval: 500 * time.Millisecond, ProbeInterval: 5 * time.Second, ProbeTimeout: 3 * time.Second,
			SuspicionMult: 6, RetransmitMult: 4,
		},
		Performance: Performance{
			LeaveDrainTime:        5 * time.Second, // for the others to notice before the listeners close
			RPCHoldTimeout:        7 * time.Second, // longer than an election
			GRPCKeepaliveInterval: 30 * time.Second,
			GRPCKeepaliveTimeout:  20 * time.Second,
		},
		DisableRemoteExec:     true, // whoever may use exec could do anything on the host
		RaftSnapshotThreshold: 16384,
		RaftSnapshotInterval:  30 * time.Second,
		RaftTrailingLogs:      10240,
		RaftLogstore:          RaftLogstore{WAL: struct{ SegmentSizeMB int }{16}}, // so that the log shrinks in small steps
		Autopilot: Autopilot{
			CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250, ServerStabilizationTime: 10 * time.Second,
		},
		Limits: Limits{
			HTTPMaxConnsPerClient:    200,
			HTTPMaxBlockingPerClient: 8192, // far above any one program, a quarter of what an agent takes from all
			HTTPSHandshakeTimeout:    5 * time.Second, RPCHandshakeTimeout: 5 * time.Second,
			RPCClientTimeout: 60 * time.Second, RPCMaxConnsPerClient: 100, RPCRate: -1, RPCMaxBurst: 1000,
			KVMaxValueSize: 512 << 10, TxnMaxReqLen: 512 << 10, // what Raft replicates without holding up its heartbeats
			RequestLimits: RequestLimits{Mode: "disabled", ReadRate: -1, WriteRate: -1},
		},
		SessionTTLMin:       10 * time.Second,
		DefaultQueryTime:    5 * time.Minute,
		MaxQueryTime:        10 * time.Minute,
		CheckUpdateInterval: 5 * time.Minute,
		CheckOutputMaxSize:  4096,
		Domain:              "consul",
		AltDomain:           "parley",
		DNSConfig: DNS{
			AllowStale: true, MaxStale: 10 * 365 * 24 * time.Hour, // an old answer is better than none
			RecursorStrategy: "sequential", RecursorTimeout: 2 * time.Second,
			UDPAnswerLimit: 3, EnableAdditionalNodeMetaTXT: true, SOA: SOA{Refresh: 3600, Retry: 600, Expire: 86400},
		},
		UIConfig: UI{ContentPath: "/ui/"},
		XDS:      XDS{UpdateMaxPerSecond: 250},
		Connect:  Connect{Enabled: true, CAProvider: "consul"},
		ACL: ACL{
			DefaultPolicy: "allow", DownPolicy: "extend-cache",
			PolicyTTL: 30 * time.Second, RoleTTL: 30 * time.Second, TokenTTL: 30 * time.Second,
		},
		LogLevel:          "INFO",
		LogRotateDuration: 24 * time.Hour,
		SyslogFacility:    "LOCAL0",
		Telemetry:         Telemetry{FilterDefault: true, MetricsPrefix: "consul"},
	}
}

// Dev is the configuration of a development agent that is told nothing else: a server alone on loopback that
// keeps nothing.
func Dev() *Config {
	c := Default()
	c.Dev = true
	c.Server = true
	c.Bootstrap = true
	c.BindAddr = "127.0.0.1"
	c.Ports.GRPC = 8502
	c.UIConfig.Enabled = true
	c.EnableDebug = true
	c.LogLevel = "DEBUG"
	c.DisableKeyringFile = true
	c.GossipLAN.GossipInterval = 100 * time.Millisecond
	c.GossipLAN.ProbeInterval = 100 * time.Millisecond
	c.GossipLAN.ProbeTimeout = 100 * time.Millisecond
	c.GossipLAN.SuspicionMult = 3
	c.GossipWAN = c.GossipLAN
	return c
}

// defaultGRPCTLS is where servers listen for gRPC over TLS unless they are told otherwise.
const defaultGRPCTLS = 8503

// LeavesOnTerminate tells whether SIGTERM makes the agent leave the cluster.
func (c *Config) LeavesOnTerminate() bool {
	if c.LeaveOnTerminate != nil {
		return *c.LeaveOnTerminate
	}
	return !c.Server
}

// LeavesOnInterrupt tells whether SIGINT makes the agent leave the cluster.
func (c *Config) LeavesOnInterrupt() bool {
	if c.SkipLeaveOnInterrupt != nil {
		return !*c.SkipLeaveOnInterrupt
	}
	return !c.Server
}
