package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// The tags that travel. They are short since all of them together fit into 512 bytes.
const (
	tagProduct   = "product"
	tagProto     = "proto"     // the version of what travels
	tagProtoMin  = "proto_min" // and the oldest that is understood
	tagID        = "id"
	tagDC        = "dc"
	tagVersion   = "v"
	tagPeer      = "peer_v"
	tagServer    = "server"
	tagRPC       = "rpc" // host:port, without the host where that is the member's own
	tagExpect    = "expect"
	tagNonVoter  = "nonvoter"
	tagCluster   = "cluster"
	tagACLs      = "acls"
	tagGRPC      = "grpc"
	tagGRPCTLS   = "grpc_tls"
	tagWAN       = "wan"
	tagWANHost   = "wan_host" // where that is not the member's own
	tagPool      = "pool"     // of the WAN pool alone
	tagReconnect = "reconnect"
)

// product tells our pools from those of other programs on serf.
const product = "parley"

// The versions of what travels that this release speaks and understands.
const (
	proto    = 1
	protoMin = 1
)

// fixedTags say who a member is; they stay while it runs.
var fixedTags = []string{tagProduct, tagProto, tagProtoMin, tagID, tagDC, tagPool}

// tags are those of the local member.
func (o *Options) tags(self netip.AddrPort) (map[string]string, error) {
	tags := map[string]string{
		tagProduct:  product,
		tagProto:    strconv.Itoa(proto),
		tagProtoMin: strconv.Itoa(protoMin),
		tagID:       o.NodeID,
		tagDC:       o.Datacenter,
	}
	optional := map[string]string{tagVersion: o.Version, tagPeer: o.PeerVersion}
	if o.AdvertiseReconnect > 0 {
		optional[tagReconnect] = o.AdvertiseReconnect.String()
	}
	if o.Pool == WAN {
		optional[tagPool] = WAN
	}
	if o.ACLs {
		optional[tagACLs] = "1"
	}
	if o.Server {
		rpc, err := o.rpcTag(self)
		if err != nil {
			return nil, err
		}
		optional[tagServer], optional[tagRPC] = "1", rpc
		if o.WANHost != self.Addr().String() {
			optional[tagWANHost] = o.WANHost
		}
		for tag, n := range map[string]int{
			tagExpect: o.BootstrapExpect, tagGRPC: o.Ports.GRPC, tagGRPCTLS: o.Ports.GRPCTLS, tagWAN: o.Ports.WAN,
		} {
			if n > 0 {
				optional[tag] = strconv.Itoa(n)
			}
		}
		if o.NonVoter {
			optional[tagNonVoter] = "1"
		}
	}
	maps.DeleteFunc(optional, func(_, v string) bool { return v == "" })
	maps.Copy(tags, optional)
	return tags, checkSize(tags)
}

func (o *Options) rpcTag(self netip.AddrPort) (string, error) {
	if o.RPCAddr == "" {
		return ":" + strconv.Itoa(o.RPCPort), nil
	}
	host, port, err := net.SplitHostPort(o.RPCAddr)
	if err != nil || host == "" || port == "" {
		return "", fmt.Errorf("gossip: RPC address %q: want host:port", o.RPCAddr)
	}
	if host == self.Addr().String() {
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}

// checkSize tells whether the tags fit into what memberlist carries, which panics otherwise.
func checkSize(tags map[string]string) error {
	if n := len(encodeMeta(tags)); n > memberlist.MetaMaxSize {
		return fmt.Errorf("gossip: what is told of this agent takes %d bytes and %d is the most: shorten the name of the datacenter", n, memberlist.MetaMaxSize)
	}
	return nil
}

// metaMagic is how serf marks tags in memberlist's metadata.
const metaMagic = 255

var handle codec.MsgpackHandle

// encodeMeta encodes tags as serf does.
func encodeMeta(tags map[string]string) []byte {
	buf := bytes.NewBuffer([]byte{metaMagic})
	// A map of strings into a buffer: there is nothing that could fail.
	_ = codec.NewEncoder(buf, &handle).Encode(tags)
	return buf.Bytes()
}

// decodeMeta decodes what serf encodes.
func decodeMeta(meta []byte) (map[string]string, error) {
	if len(meta) == 0 || meta[0] != metaMagic {
		return nil, errors.New("it has no tags")
	}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("its tags have %d bytes, %d is the most", len(meta), memberlist.MetaMaxSize)
	}
	tags := map[string]string{}
	if err := codec.NewDecoderBytes(meta[1:], &handle).Decode(&tags); err != nil {
		return nil, fmt.Errorf("its tags: %w", err)
	}
	return tags, nil
}

// reconnectTimeouts lets a member say itself when it may be forgotten.
type reconnectTimeouts struct{}

func (reconnectTimeouts) ReconnectTimeout(m *serf.Member, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(m.Tags[tagReconnect]); err == nil && d > 0 {
		return d
	}
	return otherwise
}
