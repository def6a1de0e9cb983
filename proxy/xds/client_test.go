package xds

import (
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parleymesh/parley/proxy/envoy"
)

func TestARejectionBlamesWhomItNames(t *testing.T) {
	versions := map[string]string{"web": "1", "web:127.0.0.1:80": "1", "db": "1", "db-2": "1"}
	for reason, want := range map[string]string{
		"": "", "no idea": "db db-2 web web:127.0.0.1:80", "Error adding/updating listener(s) db: no": "db",
		"Error adding/updating listener(s) web:127.0.0.1:80: no":  "web:127.0.0.1:80",
		"Error adding/updating cluster(s) db-2: no, web: neither": "db-2 web", "the adb of db-22": "db db-2 web web:127.0.0.1:80",
		"'db' is bad": "db", "db": "db",
	} {
		bad := blamed(reason, versions)
		var names []string
		for _, name := range []string{"db", "db-2", "web", "web:127.0.0.1:80"} {
			if bad[name] {
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}

// resources returns resources of each type with a letter of versions for each of their names.
func resources(versions string) *envoy.Resources {
	r := &envoy.Resources{ByType: map[string]map[string]*envoy.Resource{}, Needs: map[envoy.Ref][]envoy.Ref{{Type: envoy.ListenerType, Name: "a"}: {{Type: envoy.ClusterType, Name: "b"}}}}
	for i, typeURL := range order {
		r.ByType[typeURL] = map[string]*envoy.Resource{}
		for j, name := range []string{"a", "b", "c"} {
			if k := i*3 + j; k < len(versions) && versions[k] != '-' {
				r.ByType[typeURL][name] = &envoy.Resource{Type: typeURL, Name: name, Version: versions[k : k+1], Body: &anypb.Any{}}
			}
		}
	}
	return r
}

// Whatever a client says, it is sent only what it asked for, never twice, and remembered only as far as the bounds go.
func FuzzClient(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x10\x11\x22\x33\x44"), "111222333444555666", "11122233344455-666")
	f.Fuzz(func(t *testing.T, script []byte, one, other string) {
		script = script[:min(len(script), 200)]
		c, nonces := newClient(), map[string]bool{}
		states := []*envoy.Resources{resources(one), resources(other)}
		var last string
		for i, b := range script {
			typeURL := order[int(b)%len(order)]
			r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL}
			name := []string{"a", "b", "c", "*", "nothing"}[int(b>>1)%5]
			switch b >> 5 {
			case 0, 1:
				r.ResourceNamesSubscribe = []string{name}
			case 2:
				r.ResourceNamesUnsubscribe = []string{name}
			case 3:
				r.InitialResourceVersions = map[string]string{name: "1", "old": "1"}
			case 4:
				r.ResponseNonce = last
			case 5:
				r.ResponseNonce, r.ErrorDetail = last, &status.Status{Message: "no " + name}
			case 6:
				r.TypeUrl = "unknown"
			}
			if _, err := c.request(r); err != nil {
				t.Fatal(err)
			}
			state := states[i%2]
			for _, out := range c.next(state) {
				if nonces[out.GetNonce()] || out.GetNonce() == "" {
					t.Fatalf("the nonce %q is used twice", out.GetNonce())
				}
				last, nonces[out.GetNonce()] = out.GetNonce(), true
				s := c.types[out.GetTypeUrl()]
				for _, x := range out.GetResources() {
					if _, named := s.names[x.GetName()]; !named && !s.wildcard {
						t.Fatalf("%s %s was not asked for", out.GetTypeUrl(), x.GetName())
					}
				}
				if len(s.flight) > maxInFlight {
					t.Fatalf("%d responses in flight are remembered", len(s.flight))
				}
			}
			if again := c.next(state); len(again) > 0 {
				t.Fatalf("the same is sent twice: %v", again)
			}
			c.resources()
		}
	})
}
