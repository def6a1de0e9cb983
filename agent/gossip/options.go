package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Options is what a Pool is made of. Start from Default.
type Options struct {
	Pool string // LAN or WAN

	// Who this agent is. All of it travels in the tags, which fit into memberlist.MetaMaxSize bytes, but for Meta: that
	// is seen at the local member alone.
	NodeName, NodeID, Datacenter string
	Server                       bool
	// RPCPort is where a server answers the others, at the address that gossip advertises. RPCAddr, host:port, is for when
	// that is another address.
	RPCPort         int
	RPCAddr         string
	BootstrapExpect int
	NonVoter        bool
	Version         string // ours
	PeerVersion     string // the one that the public API shows, as 1.21.4
	ACLs            bool   // whether they are on
	Ports           Ports
	// WANHost is where a server is in the WAN pool, if that is not the address at which it is in the LAN pool.
	WANHost string
	Meta    map[string]string

	// Bind is where to listen. Port 0 takes a free one.
	Bind netip.AddrPort
	// Advertise is what the others are told. Without it, that is Bind; without its port, that of Bind.
	Advertise netip.AddrPort

	// EncryptKeys are of 16, 24 or 32 bytes each. The first encrypts, all decrypt. None: gossip is in the clear.
	EncryptKeys [][]byte
	// SaveKeys keeps the keys as they were changed while the pool runs, in the order of EncryptKeys; nil: they are not kept. It is
	// called within a second of a change.
	SaveKeys func(keys [][]byte) error
	// With keys: whether gossip in the clear is refused, and whether ours is encrypted. Both are off at times while
	// encryption is brought to a running pool.
	EncryptVerifyIncoming, EncryptVerifyOutgoing bool
	// AllowedCIDRs are the networks whose agents may be members; none: all are.
	AllowedCIDRs []netip.Prefix

	Timing Timing
	// ReconnectTimeout is after how long a failed member is forgotten, AdvertiseReconnect what the others take in its
	// place for this one.
	ReconnectTimeout, AdvertiseReconnect time.Duration
	// SnapshotPath is a file of the members' addresses, so that a restarted agent finds them again; empty: none is kept.
	SnapshotPath     string
	RejoinAfterLeave bool // also an agent that has left
	// DisableCoordinates saves the estimate of round trips.
	DisableCoordinates bool

	// Heard takes what an agent tells all others with Broadcast, and the Lamport time at which it did; nil: it is of no
	// interest. It is called by one goroutine. What comes while too much waits for it is dropped.
	Heard func(ltime uint64, data []byte)

	// Transport is for tests; nil listens on Bind. The pool shuts it down.
	Transport memberlist.NodeAwareTransport
	// Resolve finds the addresses of a name; nil asks the system.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Logger  *slog.Logger

	kind *kind // that of Pool
}

// Ports are those of a server that the public API shows among the tags; 0: closed.
type Ports struct{ GRPC, GRPCTLS, WAN int }

// Timing tunes memberlist. Zeros are Default's.
type Timing struct {
	GossipNodes    int           // how many are told at a time
	GossipInterval time.Duration // how often
	ProbeInterval  time.Duration // how often one of the others is asked whether it lives
	ProbeTimeout   time.Duration // how long its answer may take before others ask it too
	SuspicionMult  int           // how long a silent one may object: times log10(members) and ProbeInterval
	RetransmitMult int           // how often news are told: times log10(members)
}

// Default returns the options that hold for most pools.
func Default() Options {
	return Options{
		Pool:                  LAN,
		EncryptVerifyIncoming: true,
		EncryptVerifyOutgoing: true,
		ReconnectTimeout:      72 * time.Hour, // a member that failed may come back from a long weekend
	}
}

const (
	// broadcastTimeout is how long a leave or a changed tag may wait to be sent once.
	broadcastTimeout = 3 * time.Second
	// streamTimeout bounds an exchange of all that two agents know.
	streamTimeout = 10 * time.Second
)

func (o *Options) complete() error {
	o.Pool = cmp.Or(o.Pool, LAN)
	k := kinds[o.Pool]
	switch {
	case k == nil:
		return fmt.Errorf("gossip: there is no pool %q, only %q and %q", o.Pool, LAN, WAN)
	case k.name == WAN && !o.Server:
		return errors.New("gossip: only servers are in the WAN pool")
	}
	t := &o.Timing
	t.GossipNodes = cmp.Or(t.GossipNodes, k.timing.GossipNodes)
	t.GossipInterval = cmp.Or(t.GossipInterval, k.timing.GossipInterval)
	t.ProbeInterval = cmp.Or(t.ProbeInterval, k.timing.ProbeInterval)
	t.ProbeTimeout = cmp.Or(t.ProbeTimeout, k.timing.ProbeTimeout)
	t.SuspicionMult = cmp.Or(t.SuspicionMult, k.timing.SuspicionMult)
	t.RetransmitMult = cmp.Or(t.RetransmitMult, k.timing.RetransmitMult)
	o.ReconnectTimeout = cmp.Or(o.ReconnectTimeout, Default().ReconnectTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if err := o.validate(); err != nil {
		return err
	}
	o.kind, o.NodeName = k, k.memberName(o.NodeName, o.Datacenter)
	return nil
}

func (o *Options) validate() error {
	if err := validName(o.NodeName, maxNodeName); err != nil {
		return fmt.Errorf("gossip: node name: %w", err)
	}
	for _, f := range []struct{ name, value string }{{"node id", o.NodeID}, {"datacenter", o.Datacenter}} {
		if f.value == "" {
			return fmt.Errorf("gossip: %s is missing", f.name)
		}
	}
	if o.Server && o.RPCPort == 0 && o.RPCAddr == "" {
		return errors.New("gossip: a server needs an RPC port")
	}
	if o.Transport == nil && !o.Bind.Addr().IsValid() {
		return errors.New("gossip: the address to bind to is missing")
	}
	for i, key := range o.EncryptKeys {
		if err := memberlist.ValidateKey(key); err != nil {
			return fmt.Errorf("gossip: encryption key %d has %d bytes: want 16, 24 or 32", i+1, len(key))
		}
	}
	return nil
}

// validName tells whether a name can be a member's. A slash would end it in an address to join, a line's end in the
// snapshot.
func validName(name string, longest int) error {
	switch {
	case name == "":
		return errors.New("it is missing")
	case len(name) > longest:
		return fmt.Errorf("%d bytes are too long, %d is the most", len(name), longest)
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("%q has a blank, a slash or a control character", name)
	}
	return nil
}

// allows tells whether members may have the address.
func (o *Options) allows(a netip.Addr) bool {
	for _, n := range o.AllowedCIDRs {
		if n.Contains(a) {
			return true
		}
	}
	return len(o.AllowedCIDRs) == 0
}

// serf translates the options. Whatever could make serf.Create fail has been looked at before: it leaves goroutines
// behind when it fails late.
func (o *Options) serf(t *transport, events chan<- serf.Event) (*serf.Config, error) {
	m := memberlist.DefaultLANConfig()
	m.Transport = t
	m.BindAddr, m.BindPort = t.self.Addr().String(), int(t.self.Port())
	m.AdvertiseAddr, m.AdvertisePort = t.self.Addr().String(), int(t.self.Port())
	m.TCPTimeout = streamTimeout
	m.GossipNodes, m.GossipInterval = o.Timing.GossipNodes, o.Timing.GossipInterval
	m.ProbeInterval, m.ProbeTimeout = o.Timing.ProbeInterval, o.Timing.ProbeTimeout
	m.SuspicionMult, m.RetransmitMult = o.Timing.SuspicionMult, o.Timing.RetransmitMult
	// A failed agent that comes back with another address is known again at once: whether it is the same is for the
	// admission to tell.
	m.DeadNodeReclaimTime = 1
	for _, n := range o.AllowedCIDRs {
		n = n.Masked()
		m.CIDRsAllowed = append(m.CIDRsAllowed, net.IPNet{
			IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen()),
		})
	}
	if len(o.EncryptKeys) > 0 {
		ring, err := memberlist.NewKeyring(o.EncryptKeys, o.EncryptKeys[0])
		if err != nil {
			return nil, fmt.Errorf("gossip: encryption keys: %w", err)
		}
		m.Keyring = ring
	}
	m.GossipVerifyIncoming, m.GossipVerifyOutgoing = o.EncryptVerifyIncoming, o.EncryptVerifyOutgoing

	c := serf.DefaultConfig()
	c.MemberlistConfig = m
	c.NodeName = o.NodeName
	c.EventCh = events
	c.BroadcastTimeout = broadcastTimeout
	c.LeavePropagateDelay = 0 // Leave waits itself, and only when there is somebody to wait for
	c.ReconnectTimeout = o.ReconnectTimeout
	c.ReconnectTimeoutOverride = reconnectTimeouts{}
	c.MinQueueDepth = 4096 // the queue grows with the pool
	c.QueueDepthWarning = 1 << 20
	c.DisableCoordinates = o.DisableCoordinates
	c.UserEventSizeLimit = broadcastLimit
	// Without it the conflict is the newcomer's, with it the loser of a vote shuts itself down.
	c.EnableNameConflictResolution = false
	c.SnapshotPath, c.RejoinAfterLeave = o.SnapshotPath, o.RejoinAfterLeave
	return c, nil
}

// openSnapshot sees to it that the snapshot's file can be written.
func (o *Options) openSnapshot() error {
	if o.SnapshotPath == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.SnapshotPath), 0o700); err != nil {
		return fmt.Errorf("gossip: open the list of known members: %w", err)
	}
	f, err := os.OpenFile(o.SnapshotPath, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("gossip: open the list of known members: %w", err)
	}
	return f.Close()
}
