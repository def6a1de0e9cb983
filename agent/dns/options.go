package dns

import (
	"context"
	"log/slog"
	"time"

	"github.com/parleymesh/parley/server/verb"
)

// Client reads from the servers, be they here or elsewhere.
type Client interface {
	Query(ctx context.Context, o verb.Options, q verb.Query) (verb.Answer, error)
	Watch(ctx context.Context, o verb.Options, q verb.Query) (verb.Reader, error)
}

// Options is what a server is made of.
type Options struct {
	Client     Client
	Node       string // this node's name
	Datacenter string
	Domain     string // answered for; empty: "consul"
	AltDomain  string // answered for as well; empty: none
	Config     Config
	Logger     *slog.Logger // nil: none
}

// Config is how answers are made. It may change while the server runs.
type Config struct {
	// AllowStale lets any server answer, and lets answers go on from what is known while no server can be reached.
	AllowStale bool
	// MaxStale is how old such an answer may be; 0: of any age.
	MaxStale time.Duration

	NodeTTL    time.Duration
	ServiceTTL map[string]time.Duration // by name, or prefix and "*"; the longest that fits counts

	// OnlyPassing leaves out instances with a warning as well.
	OnlyPassing bool
	// UDPAnswerLimit is how many records an answer over UDP has at most when the client takes no more than 512 bytes;
	// 0: as many as fit.
	UDPAnswerLimit int
	// ARecordLimit is how many addresses an answer has at most, over UDP and TCP; 0: all.
	ARecordLimit int
	// EnableTruncate marks answers over UDP that were cut short, so that clients ask again over TCP.
	EnableTruncate     bool
	DisableCompression bool
	// EnableAdditionalNodeMetaTXT adds a node's metadata, as text, to answers with its address.
	EnableAdditionalNodeMetaTXT bool

	// Recursors are asked about names that are not ours: host and port. None: such questions are refused.
	Recursors []string
	// RandomRecursor has them asked in any order; otherwise the first is asked first.
	RandomRecursor bool
	// RecursorTimeout is how long one of them may take; 0: two seconds.
	RecursorTimeout time.Duration

	// TranslateWAN tells of what is in other datacenters the addresses that are tagged "wan".
	TranslateWAN bool

	SOA SOA
}

func (c Config) withDefaults() *Config {
	if c.RecursorTimeout <= 0 {
		c.RecursorTimeout = 2 * time.Second
	}
	return &c
}

// SOA is what the start-of-authority record says, in seconds.
type SOA struct{ Refresh, Retry, Expire, MinTTL uint32 }

func (o Options) withDefaults() Options {
	if o.Domain == "" {
		o.Domain = "consul"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
