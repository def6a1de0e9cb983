package chain

import (
	"encoding/json"
	"testing"

	"github.com/parleymesh/parley/api"
)

// entry reads a JSON object into a value.
func entry[T any](t *testing.T, text string) *T {
	t.Helper()
	if text == "" {
		return nil
	}
	v := new(T)
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCentral(t *testing.T) {
	for _, c := range []struct{ name, proxy, service, all, want string }{
		{"nothing", `{"DestinationServiceName": "web"}`, "", "", `{"DestinationServiceName": "web"}`},
		{"config by strength",
			`{"Config": {"a": 1, "protocol": "grpc"}}`, `{"Protocol": "http", "LocalConnectTimeoutMs": 7, "MaxInboundConnections": 9}`,
			`{"Config": {"a": 3, "b": 3, "protocol": "tcp"}}`,
			`{"Config": {"a": 1, "b": 3, "local_connect_timeout_ms": 7, "max_inbound_connections": 9, "protocol": "grpc"}}`},
		{"all proxies", `{}`, "", `{"Config": {"b": 3}, "Mode": "transparent", "MeshGateway": {"Mode": "local"}, "MutualTLSMode": "permissive",
			"AccessLogs": {"Enabled": true}, "Expose": {"Checks": true}, "TransparentProxy": {"DialedDirectly": true}}`,
			`{"Config": {"b": 3}, "Mode": "transparent", "MeshGateway": {"Mode": "local"}, "MutualTLSMode": "permissive",
			"AccessLogs": {"Enabled": true}, "Expose": {"Checks": true}, "TransparentProxy": {"DialedDirectly": true}}`},
		{"the service before all proxies", `{"MeshGateway": {"Mode": "none"}}`,
			`{"Mode": "direct", "MeshGateway": {"Mode": "remote"}, "Expose": {"Paths": [{"Path": "/s"}]}, "EnvoyExtensions": [{"Name": "s"}]}`,
			`{"Mode": "transparent", "Expose": {"Paths": [{"Path": "/a"}]}, "EnvoyExtensions": [{"Name": "a"}]}`,
			`{"Mode": "direct", "MeshGateway": {"Mode": "none"}, "Expose": {"Paths": [{"Path": "/s"}]}, "EnvoyExtensions": [{"Name": "a"}, {"Name": "s"}]}`},
		{"upstreams",
			`{"Upstreams": [{"DestinationName": "db", "LocalBindPort": 1}, {"DestinationName": "q", "DestinationType": "prepared_query", "Config": {"protocol": "grpc"}}]}`,
			`{"UpstreamConfig": {"Defaults": {"Protocol": "http", "ConnectTimeoutMs": 5, "MeshGateway": {"Mode": "local"}},
			 "Overrides": [{"Name": "db", "Namespace": "default", "ConnectTimeoutMs": 6, "MeshGateway": {"Mode": "remote"},
			 "Limits": {"MaxConnections": 0}, "PassiveHealthCheck": {"Interval": 1000000000, "MaxFailures": 3}}, {"Name": "q", "ConnectTimeoutMs": 8}]}}`, "",
			`{"Upstreams": [{"DestinationName": "db", "LocalBindPort": 1, "MeshGateway": {"Mode": "remote"}, "Config": {"protocol": "http", "connect_timeout_ms": 6,
			 "limits": {"max_connections": 0}, "passive_health_check": {"interval": "1s", "max_failures": 3}}},
			 {"DestinationName": "q", "DestinationType": "prepared_query", "MeshGateway": {"Mode": "local"}, "Config": {"protocol": "grpc", "connect_timeout_ms": 5}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s, all := entry[api.Proxy](t, c.proxy), entry[api.ServiceDefaults](t, c.service), entry[api.ProxyDefaults](t, c.all)
			got, want := text(t, Central(p, s, all)), text(t, entry[api.Proxy](t, c.want))
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if text(t, p) != text(t, entry[api.Proxy](t, c.proxy)) || text(t, all) != text(t, entry[api.ProxyDefaults](t, c.all)) {
				t.Error("what was merged has been changed")
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
