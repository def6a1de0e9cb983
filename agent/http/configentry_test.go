package http_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

func TestConfigEntries(t *testing.T) {
	a := start(t)
	const web = "/v1/config/service-defaults/web"
	modified := func() uint64 {
		t.Helper()
		var e api.ServiceDefaults
		a.do("GET", web).is(200, "").has("X-Consul-KnownLeader", "true").json(&e)
		return e.ModifyIndex
	}
	a.do("GET", "/v1/config/service-defaults").is(200, "[]")
	a.do("GET", web).is(404, `Config entry not found for "service-defaults" / "web"`).has("X-Consul-KnownLeader", "true")
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "web", "Protocol": "http", "Meta": {"a": "b"}}`).is(200, "true")
	m := modified()
	a.do("PUT", "/v1/config?cas=0", `{"Kind": "service-defaults", "Name": "web", "Protocol": "tcp"}`).is(200, "false")
	a.do("PUT", fmt.Sprint("/v1/config?cas=", m), `{"Kind": "service-defaults", "Name": "web", "Protocol": "grpc"}`).is(200, "true")
	a.do("PUT", fmt.Sprint("/v1/config?cas=", m), `{"Kind": "service-defaults", "Name": "web", "Protocol": "tcp"}`).is(200, "false")
	a.do("PUT", "/v1/config?dc=dc9", `{"kind": "service-defaults", "name": "lower", "protocol": "http", "mesh_gateway": {"mode": "local"}}`).is(200, "true")
	a.do("PUT", "/v1/config", `{"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}`).is(200, "true")
	for query, want := range map[string]int{
		"service-defaults": 2, "proxy-defaults": 1, "": 3, `service-defaults?filter=Name == "lower"`: 1, `service-defaults?filter=Protocol == "tcp"`: 0,
	} {
		var list []map[string]any
		a.do("GET", "/v1/config/"+query).is(200, "").json(&list)
		if len(list) != want {
			t.Errorf("%s: %d entries, want %d", query, len(list), want)
		}
	}
	a.do("GET", "/v1/config/service-defaults?filter=Nope == 1").is(500, "Failed to create boolean expression evaluator")
	a.do("DELETE", web+"?cas=1").is(200, "false")
	a.do("DELETE", fmt.Sprintf("%s?cas=%d", web, modified())).is(200, "true")
	a.do("DELETE", web).is(200, "{}")
	a.do("DELETE", web+"?cas=5").is(200, "true")
	a.do("GET", web).is(404, "Config entry not found")
	a.do("GET", web+"/more").is(404, `"service-defaults" / "web/more"`)
}

func TestConfigEntryRefusals(t *testing.T) {
	a := start(t)
	for body, want := range map[string]string{
		`{`:                              "400 Request decoding failed: unexpected EOF",
		`{}`:                             "400 Request decoding failed: Payload does not contain a kind/Kind key at the top level",
		`{"Kind": "bogus", "Name": "x"}`: "400 Request decoding failed: invalid config entry kind: bogus",
		`{"Kind": "service-defaults"}`:   "500 Name is required",
		`{"Kind": "service-defaults", "Name": "x", "Nope": 1}`:           `400 invalid config key "Nope"`,
		`{"Kind": "service-defaults", "Name": "x", "Protocol": 7}`:       "400 Protocol: want a string",
		`{"Kind": "service-defaults", "Name": "x", "Protocol": "smoke"}`: "500 smoke",
		`{"Kind": "service-defaults", "Name": "secret"}`:                 "403 Permission denied",
		`{"Kind": "proxy-defaults", "Name": "other"}`:                    `500 only "global" is supported`,
	} {
		a.do("PUT", "/v1/config", body).want(want)
	}
	for request, want := range map[string]string{
		"GET bogus":            "500 invalid config entry kind: bogus",
		"GET bogus/x":          "500 invalid config entry kind: bogus",
		"DELETE bogus/x":       "400 invalid config entry kind: bogus",
		"DELETE ":              "404 Must provide both a kind and name to delete",
		"GET ?filter=Name==x":  "400 invalid config entry kind",
		"PUT service-defaults": "405 method PUT not allowed",
	} {
		method, path, _ := strings.Cut(request, " ")
		a.do(method, "/v1/config/"+path).want(want)
	}
	a.do("PUT", "/v1/config?cas=x", `{"Kind": "service-defaults", "Name": "x"}`).is(500, "invalid syntax")
	a.do("POST", "/v1/config").is(405, "method POST not allowed").has("Allow", "OPTIONS,PUT")
	a.do("GET", "/v1/config/").is(200, "[]")
}

// TestEffectless: what is stored and changes nothing yet is said so, once it is written.
func TestEffectless(t *testing.T) {
	a := start(t)
	const text = `299 parley "tcp-route \"t\" is stored, but the kind has no effect in this release yet"`
	a.do("PUT", "/v1/config", `{"Kind": "tcp-route", "Name": "t"}`).is(200, "true").has("Warning", text)
	a.do("PUT", "/v1/config?cas=0", `{"Kind": "tcp-route", "Name": "t"}`).is(200, "false").has("Warning", "")
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "web"}`).is(200, "true").has("Warning", "")
	a.do("PUT", "/v1/config/apply", `{"Changes": [{"Put": {"Kind": "tcp-route", "Name": "t"}}]}`).is(200, `"Warnings":["tcp-route`).has("Warning", text)
	a.do("PUT", "/v1/config/apply?dry-run", `{"Changes": [{"Put": {"Kind": "tcp-route", "Name": "t"}}]}`).is(200, `"Warnings":["tcp-route`).has("Warning", "")
}

func TestConfigApply(t *testing.T) {
	a := start(t)
	const apply = "/v1/config/apply"
	changes := func(list string) string { return `{"Changes": [` + list + `]}` }
	both := changes(`{"Put": {"kind": "service-router", "name": "web", "routes": {"match": {"http": {"methods": ["get"]}}}}}, {"Put": {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}}`)
	a.do("PUT", apply+"?dry-run", both).is(200, `"Methods":["GET"]`).is(200, `"Problems":[]`)
	a.do("GET", "/v1/config/").is(200, "[]")
	a.do("PUT", apply, both).is(200, `"Problems":[]`)
	a.do("GET", "/v1/config/service-router/web").is(200, `"GET"`)
	for body, want := range map[string]string{
		changes(`{"Delete": {"Kind": "service-defaults", "Name": "web"}}`):                                                  `409 "Kind":"service-defaults","Name":"web","Message":"discovery chain of`,
		changes(`{"Put": {"Kind": "service-defaults", "Name": "web", "Protocol": "grpc"}, "CAS": 1}`):                       `409 its index is not 1`,
		changes(`{"Put": {"Kind": "service-splitter", "Name": "b"}}, {"Put": {"Kind": "service-defaults", "Name": "new"}}`): `409 {"Problems":[{"Change":0,"Kind":"service-splitter","Name":"b","Message":"no splits configured`,
		changes(`{"Put": {"Kind": "service-defaults", "Name": "x", "Protocl": "http"}}`):                                    `400 Changes[0]: invalid config key "Protocl"; did you mean "Protocol"?`,
		changes(`{"Put": {"Kind": "service-defaults", "Name": "secret"}}`):                                                  `403 Permission denied`,
		changes(`{}`):     `400 Changes[0]: want either Put or Delete`,
		`{"Other": true}`: `400 unknown field`,
		changes(``):       `200 "Problems":[]`,
	} {
		a.do("PUT", apply, body).want(want)
		a.do("PUT", apply+"?dry-run", body).want(want)
	}
	a.do("GET", "/v1/config/service-defaults").is(200, `"Protocol":"http"`).is(200, `[{`)
	a.do("GET", "/v1/config/service-defaults/new").is(404, "")
	a.do("PUT", apply, changes(`{"Delete": {"Kind": "service-router", "Name": "web"}}, {"Delete": {"Kind": "service-defaults", "Name": "web"}}`)).is(200, `"Entries":[null,null]`)
	a.do("GET", "/v1/config/").is(200, "[]")
	a.do("GET", apply).is(405, "method GET not allowed")
}

func TestExportedServices(t *testing.T) {
	a := start(t)
	a.do("GET", "/v1/exported-services").is(200, "[]")
	a.do("PUT", "/v1/config", `{"Kind": "exported-services", "Name": "default", "Services": [{"Name": "api", "Consumers": [{"Peer": "east"}]}, {"Name": "secret", "Consumers": [{"Peer": "east"}]}]}`).is(200, "true")
	got := a.do("GET", "/v1/exported-services").is(200, `[{"Service":"api","Consumers":{"Peers":["east"]}}]`)
	index := got.index()
	woken := a.later(fmt.Sprintf("/v1/exported-services?index=%d&wait=10s", index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("DELETE", "/v1/config/exported-services/default").is(200, "{}")
	(<-woken).is(200, "[]")
}

func TestDiscoveryChain(t *testing.T) {
	a := start(t)
	a.installCA()
	var got struct{ Chain api.DiscoveryChain }
	a.do("GET", "/v1/discovery-chain/web").is(200, "").has("X-Consul-Effective-Consistency", "leader").json(&got)
	if got.Chain.Protocol != "tcp" || got.Chain.StartNode != "resolver:web.default.default.dc1" || got.Chain.Targets["web.default.default.dc1"].SNI == "" {
		t.Errorf("chain: %+v", got.Chain)
	}
	index := a.do("GET", "/v1/discovery-chain/web").index()
	woken := a.later(fmt.Sprintf("/v1/discovery-chain/web?index=%d&wait=10s", index))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.do("PUT", "/v1/config", `{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}`).is(200, "true")
	(<-woken).is(200, `"Protocol":"http"`)
	a.do("POST", "/v1/discovery-chain/web", `{}`).is(200, `"Chain"`)
	for request, want := range map[string]string{
		`POST {`:                               "400 Request decoding failed: unexpected EOF",
		`POST {"OverrideConnectTimeout": "x"}`: "400 Request decoding failed",
		`POST {"OverrideProtocol": "smtp"}`:    "400 OverrideProtocol \"smtp\" is not known",
		`POST {"OverrideProtocol": "http"}`:    "200 \"Default\":true,\"Protocol\":\"http\"",
		`POST {"OverrideProtocol": "tcp"}`:     "200 \"CustomizationHash\":\"",
		`PUT `:                                 "405 method PUT not allowed",
	} {
		method, body, _ := strings.Cut(request, " ")
		a.do(method, "/v1/discovery-chain/web", body).want(want)
	}
	a.do("GET", "/v1/discovery-chain/").is(400, "Missing chain name")
	a.do("GET", "/v1/discovery-chain/secret").is(403, "Permission denied")
	a.do("GET", "/v1/discovery-chain/web?dc=dc9").is(500, "No path to datacenter").has("X-Consul-KnownLeader", "false").has("X-Consul-Index", "1")
}
