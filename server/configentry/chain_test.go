package configentry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// TestChainWakes: a chain is woken by what it is made of, however far away, also by what is not there yet, and by nothing else.
func TestChainWakes(t *testing.T) {
	s := nounstore.New()
	put(t, s, allHTTP,
		`{"Kind":"service-router","Name":"a","Routes":[{"Match":{"HTTP":{"PathPrefix":"/b"}},"Destination":{"Service":"b"}}]}`,
		`{"Kind":"service-splitter","Name":"c","Splits":[{"Weight":50},{"Weight":50,"Service":"d"}]}`,
		`{"Kind":"service-resolver","Name":"e","Redirect":{"Service":"f"}}`,
		`{"Kind":"service-resolver","Name":"f","Failover":{"*":{"Service":"g"}}}`)
	names := strings.Fields("a b c d e f g h")
	queries := make([]verb.Query, len(names))
	for i, name := range names {
		queries[i] = Chain{Service: name, Datacenter: "dc1"}
	}
	for _, c := range []struct{ text, want string }{
		{`{"Kind":"service-resolver","Name":"b","ConnectTimeout":"2s"}`, "a b"},
		{`{"Kind":"service-resolver","Name":"b","ConnectTimeout":"3s"}`, "a b"},
		{`{"Kind":"service-splitter","Name":"b","Splits":[{"Weight":100,"Service":"h"}]}`, "a b"},
		{`{"Kind":"service-resolver","Name":"h","ConnectTimeout":"2s"}`, "a b h"},
		{`{"Kind":"service-router","Name":"b","Routes":[{}]}`, "b"},
		{`{"Kind":"service-resolver","Name":"d","ConnectTimeout":"2s"}`, "c d"},
		{`{"Kind":"service-resolver","Name":"f","ConnectTimeout":"2s","Failover":{"*":{"Service":"g"}}}`, "e f"},
		{`{"Kind":"service-defaults","Name":"g","ExternalSNI":"g.example.org"}`, "e f g"},
		{`{"Kind":"service-defaults","Name":"stranger","Protocol":"grpc"}`, ""},
		{`{"Kind":"service-resolver","Name":"stranger"}`, ""},
		{`{"Kind":"service-intentions","Name":"b","Sources":[{"Name":"x","Action":"allow"}]}`, ""},
		{`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"},"MeshGateway":{"Mode":"local"}}`, "a b c d e f g h"},
	} {
		var got []string
		for i, woken := range s.Wakes(t, write(t, c.text), queries...) {
			if woken {
				got = append(got, names[i])
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s wakes %q, want %q", c.text, got, c.want)
		}
	}
}

// TestChainVersion: a row is another one only when it says something else.
func TestChainVersion(t *testing.T) {
	s := nounstore.New()
	version := func(o chain.Overrides) uint64 {
		rows, _, _ := s.Ask(t, Chain{Service: "web", Datacenter: "dc1", Overrides: o})
		return rows[0].Version
	}
	put(t, s, webHTTP)
	plain, custom := version(chain.Overrides{}), version(chain.Overrides{Protocol: "tcp"})
	if plain == custom {
		t.Error("an override makes no difference")
	}
	put(t, s, `{"Kind":"service-defaults","Name":"web","Protocol":"http","MaxInboundConnections":7}`)
	if version(chain.Overrides{}) != plain {
		t.Error("what is of no chain makes it another one")
	}
	put(t, s, `{"Kind":"service-router","Name":"web","Routes":[{"Destination":{"NumRetries":3}}]}`)
	if version(chain.Overrides{}) == plain {
		t.Error("a router makes no difference")
	}
}

func TestChainOverridesRefused(t *testing.T) {
	for want, o := range map[string]chain.Overrides{
		`OverrideProtocol "smtp" is not known`: {Protocol: "smtp"},
		`OverrideConnectTimeout -1ns must not`: {ConnectTimeout: -1},
		`OverrideMeshGateway.Mode "x" is not`:  {MeshGateway: api.MeshGateway{Mode: "x"}},
	} {
		err := Chain{Service: "web", Datacenter: "dc1", Overrides: o}.Validate()
		if api.StatusOf(err) != 400 || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want 400 %s", err, want)
		}
	}
}
