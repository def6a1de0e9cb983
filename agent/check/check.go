// Package check runs health checks: it asks a target of one kind or another (HTTP, TCP, UDP, gRPC, HTTP/2, a script,
// the checks of another service) at its interval, applies the thresholds, and reports each result; or, for a TTL check,
// waits to be told and reports when nobody did in time.
//
// A probe knows one kind of target and nothing of schedules; a Runner knows schedules and nothing of targets. Which
// checks exist, what they are called, where their status is kept and who is told of it is left to agent/local.
package check

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/parleymesh/parley/api"
)

// The kinds of check, as they stand in api.Check.Type.
const (
	KindTTL       = "ttl"
	KindHTTP      = "http"
	KindTCP       = "tcp"
	KindUDP       = "udp"
	KindGRPC      = "grpc"
	KindH2Ping    = "h2ping"
	KindScript    = "script"
	KindDocker    = "docker"
	KindAlias     = "alias"
	KindOSService = "os_service"
)

const (
	// DefaultOutputMaxSize is how many bytes of a check's output are kept where nobody says otherwise.
	DefaultOutputMaxSize = 4096
	// minInterval is the shortest time between two runs. A shorter interval is honoured no further than this: a
	// definition with a slip in its unit should not keep the host busy with checking itself.
	minInterval = 100 * time.Millisecond
	// defaultTimeout is how long a probe may take where the definition does not say.
	defaultTimeout = 10 * time.Second
	// defaultScriptTimeout is the same for scripts, which often do more.
	defaultScriptTimeout = 30 * time.Second
)

// Probe asks its target once.
type Probe interface {
	// Run returns a status (api.Passing, Warning or Critical) and one short text for people. It returns soon after
	// ctx ends, and is never run twice at a time.
	Run(ctx context.Context) (status, output string)
}

// Update is told the result of every run. It may be called from any goroutine, but for one check never twice at a
// time, and not after that check's Close has returned.
type Update func(checkID, status, output string)

// Options are what checks take from outside. Only Update is needed.
type Options struct {
	Update Update
	Logger *slog.Logger
	// Dial opens connections; nil is net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is what checks over TLS start from, such as the agent's own certificate; nil is Go's default.
	TLS *tls.Config
	// OutputMaxSize bounds the output of checks whose definition does not; 0 is DefaultOutputMaxSize.
	OutputMaxSize int
	// Aliased tells the health that alias checks repeat.
	Aliased Aliased
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.OutputMaxSize <= 0 {
		o.OutputMaxSize = DefaultOutputMaxSize
	}
	return o
}

// outputMaxSize is the limit for one definition.
func (o Options) outputMaxSize(def *api.CheckDefinition) int {
	if def.OutputMaxSize > 0 {
		return def.OutputMaxSize
	}
	return o.OutputMaxSize
}

// tlsConfig is the configuration with which a check of def speaks TLS to host; an empty host is filled in by who dials.
func (o Options) tlsConfig(def *api.CheckDefinition, host string, protocols ...string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		c = o.TLS.Clone()
	}
	c.ServerName = host
	if def.TLSServerName != "" {
		c.ServerName = def.TLSServerName
	}
	c.InsecureSkipVerify = def.TLSSkipVerify
	c.NextProtos = protocols
	return c
}

// kinds lists each kind with the field that asks for it. TTL and alias come last, since a definition may name them
// beside others by mistake, and the message should speak of the other.
var kinds = []struct {
	kind  string
	field string
	given func(*api.CheckDefinition) bool
}{
	{KindDocker, "DockerContainerID", func(d *api.CheckDefinition) bool { return d.DockerContainerID != "" }},
	{KindScript, "Args", func(d *api.CheckDefinition) bool { return len(d.Args) > 0 && d.DockerContainerID == "" }},
	{KindHTTP, "HTTP", func(d *api.CheckDefinition) bool { return d.HTTP != "" }},
	{KindTCP, "TCP", func(d *api.CheckDefinition) bool { return d.TCP != "" }},
	{KindUDP, "UDP", func(d *api.CheckDefinition) bool { return d.UDP != "" }},
	{KindGRPC, "GRPC", func(d *api.CheckDefinition) bool { return d.GRPC != "" }},
	{KindH2Ping, "H2PING", func(d *api.CheckDefinition) bool { return d.H2PING != "" }},
	{KindOSService, "OSService", func(d *api.CheckDefinition) bool { return d.OSService != "" }},
	{KindAlias, "AliasService or AliasNode", func(d *api.CheckDefinition) bool { return d.AliasService != "" || d.AliasNode != "" }},
	{KindTTL, "TTL", func(d *api.CheckDefinition) bool { return d.TTL != 0 }},
}

// KindOf returns the kind of check that a definition asks for. One that asks for none is taken for a TTL check.
func KindOf(def *api.CheckDefinition) string {
	for _, k := range kinds {
		if k.given(def) {
			return k.kind
		}
	}
	return KindTTL
}
