package gossip

import (
	"maps"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

func itoa(n int) string { return strconv.Itoa(n) }

func diff(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\n got %+v", want, got)
	}
}

func TestDecodeBadTags(t *testing.T) {
	base := func() map[string]string {
		return map[string]string{"server": "1", "rpc": ":8300", "expect": "3", "grpc": "8502"}
	}
	for name, c := range map[string]struct {
		tag, value string
		server     bool
		rpc        string
		expect     int
	}{
		"as it is":         {"", "", true, "10.0.0.1:8300", 3},
		"elsewhere":        {"rpc", "192.0.2.1:9", true, "192.0.2.1:9", 3},
		"no port":          {"rpc", "192.0.2.1", false, "", 0},
		"a port too high":  {"rpc", ":65536", false, "", 0},
		"no number":        {"expect", "many", true, "10.0.0.1:8300", 0},
		"a negative one":   {"expect", "-3", true, "10.0.0.1:8300", 0},
		"a client":         {"server", "", false, "", 0},
		"a strange server": {"server", "yes", false, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tags := base()
			tags[c.tag] = c.value
			m := decode(serf.Member{Name: "a", Addr: net.IPv4(10, 0, 0, 1), Port: 8301, Tags: tags})
			if m.Server != c.server || m.RPCAddr != c.rpc || m.Expect != c.expect {
				t.Errorf("got %+v", m)
			}
			m.apiMember()
		})
	}
}

func TestTagsTooLong(t *testing.T) {
	o := Default()
	o.NodeName, o.NodeID, o.Datacenter = "a", id(1), strings.Repeat("d", 512)
	if _, err := o.tags(mustAddrPort("10.0.0.1:1")); err == nil || !strings.Contains(err.Error(), "512 is the most") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\xff\x81\xa2id\xa1x"))
	f.Add([]byte("\xff\xdf\xff\xff\xff\xff"))
	f.Add(encodeMeta(map[string]string{"product": "parley", "rpc": ":8300"}))
	f.Fuzz(func(t *testing.T, meta []byte) {
		tags, err := decodeMeta(meta)
		if err != nil {
			return
		}
		again, err := decodeMeta(encodeMeta(tags))
		if len(encodeMeta(tags)) <= memberlist.MetaMaxSize && (err != nil || !maps.Equal(tags, again)) {
			t.Errorf("%v became %v: %v", tags, again, err)
		}
		m := decode(serf.Member{Name: "a", Addr: net.IP(meta), Tags: tags})
		m.apiMember()
		judge := &admission{kind: kinds[LAN], name: "b", id: "b", datacenter: "dc1", addr: netip.MustParseAddrPort("10.0.0.1:1"), limit: newLimiter()}
		_, _ = judge.stranger(&memberlist.Node{Name: "a", Meta: meta})
	})
}

func FuzzSplitAddr(f *testing.F) {
	for _, s := range []string{"", "a", "a:1", "[::1]:1", "::1", "[", "a:b:c", "[::1%eth0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		host, port, err := splitAddr(addr, DefaultPort)
		if err == nil && (host == "" || port == 0) {
			t.Errorf("%q is %q port %d", addr, host, port)
		}
	})
}

func FuzzParseLine(f *testing.F) {
	f.Add("[WARN] memberlist: Decrypt packet failed: no from=127.0.0.1:1\n")
	f.Add("[")
	f.Fuzz(func(t *testing.T, line string) {
		_, _, text := parseLine(line)
		wrongKey(text)
		if utf8.ValidString(line) && !utf8.ValidString(text) {
			t.Errorf("%q was cut to %q", line, text)
		}
	})
}
