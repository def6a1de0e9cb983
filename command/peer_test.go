package command_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// peer is an agent's API that remembers what it is told, as far as commands need it.
type peer struct {
	mu         sync.Mutex
	requests   []string
	token      string // of the last request
	services   map[string]api.ServiceDefinition
	checks     map[string]api.Check
	keys       map[string]api.KVPair
	intentions []api.Intention
	entries    map[string]api.ConfigEntry
	ca         api.CAConfiguration
	self       api.Self
	index      uint64
}

// startPeer starts one and names it to the commands.
func startPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{
		services: map[string]api.ServiceDefinition{"consul": {ID: "consul", Name: "consul"}},
		checks:   map[string]api.Check{}, keys: map[string]api.KVPair{}, entries: map[string]api.ConfigEntry{}, index: 10,
		ca: api.CAConfiguration{Provider: "consul", Config: map[string]any{"LeafCertTTL": "72h"}, CreateIndex: 5, ModifyIndex: 5},
		self: api.Self{
			Config: api.SelfConfig{NodeName: "node-1", Datacenter: "dc1"},
			Stats:  map[string]map[string]string{"agent": {"services": "1", "checks": "0"}, "raft": {"state": "Leader"}},
			XDS: &api.SelfXDS{
				SupportedProxies: map[string][]string{"envoy": {"1.40.0", "1.39.3"}}, Ports: api.SelfXDSPorts{Plaintext: 18502, TLS: -1},
			},
		},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	for _, name := range []string{"HTTP_TOKEN", "HTTP_TOKEN_FILE", "GRPC_ADDR", "CACERT", "CAPATH", "GRPC_CACERT", "GRPC_CAPATH", "HTTP_SSL", "NAMESPACE"} {
		t.Setenv("PARLEY_"+name, "")
		t.Setenv("CONSUL_"+name, "")
	}
	t.Setenv("PARLEY_HTTP_ADDR", "")
	t.Setenv("CONSUL_HTTP_ADDR", server.URL)
	return p
}

// ServeHTTP answers one request.
func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/agent/connect/proxy/") {
		p.proxy(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
	p.token = r.Header.Get("X-Consul-Token")
	p.index++
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	for prefix, handle := range map[string]func(*http.Request, string, []byte) (any, error){
		"agent/": p.agent, "catalog/": p.catalog, "kv/": p.kv, "connect/intentions": p.intention, "config": p.config,
	} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			answer(w)(handle(r, rest, body))
			return
		}
	}
	switch r.Method + " " + path {
	case "GET operator/raft/configuration":
		answer(w)(api.RaftConfiguration{Servers: []api.RaftServer{
			{ID: "s1", Node: "node-1", Address: "192.0.2.1:8300", Leader: true, Voter: true, ProtocolVersion: "3", LastIndex: 64},
			{ID: "s2", Node: "node-2", Address: "192.0.2.2:8300", Voter: true, ProtocolVersion: "3", LastIndex: 60},
			{ID: "s3", Node: "node-3", Address: "192.0.2.3:8300", Voter: false, ProtocolVersion: "3"},
		}}, nil)
	case "GET connect/ca/configuration":
		answer(w)(p.ca, nil)
	case "PUT connect/ca/configuration":
		answer(w)(nil, json.Unmarshal(body, &p.ca))
	default:
		http.NotFound(w, r)
	}
}

// proxy refuses the bearer of one token, and has no news for others.
func (p *peer) proxy(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Consul-Token") == "weak" {
		http.Error(w, "token lacks service:write", http.StatusForbidden)
		return
	}
	<-r.Context().Done()
}

func answer(w http.ResponseWriter) func(any, error) {
	return func(v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), api.StatusOf(err))
			return
		}
		if v != nil {
			_ = json.NewEncoder(w).Encode(v)
		}
	}
}

func (p *peer) agent(r *http.Request, rest string, body []byte) (any, error) {
	verb, name, _ := strings.Cut(rest, "/")
	switch verb {
	case "self":
		return p.self, nil
	case "members":
		if r.URL.Query().Get("filter") != "" {
			return []api.Member{}, nil
		}
		return []api.Member{
			{Name: "node-2", Addr: "192.0.2.2", Port: 8301, Status: api.MemberFailed, Tags: map[string]string{"role": "node", "build": "1.21.4:", "vsn": "2", "dc": "dc1"}},
			{Name: "node-1", Addr: "192.0.2.1", Port: 8301, Status: api.MemberAlive, Tags: map[string]string{"role": "consul", "build": "1.21.4:", "vsn": "2", "dc": "dc1", "ap": "default"}},
		}, nil
	case "join":
		if strings.HasSuffix(name, ":1") {
			return nil, api.Errorf(500, "Failed to join %s: connection refused", name)
		}
		return nil, nil
	case "leave", "reload":
		return nil, nil
	case "force-leave":
		if name == "none" {
			return nil, api.Errorf(500, "agent: No node found with name '%s'", name)
		}
		return nil, nil
	case "checks":
		return p.checks, nil
	case "maintenance":
		return nil, p.maintain(r.URL.Query(), api.NodeMaintenance)
	case "services":
		return p.agentServices(), nil
	case "service":
		return p.service(r, name, body)
	}
	return nil, api.Errorf(404, "no such path")
}

func (p *peer) maintain(q url.Values, check string) error {
	if q.Get("enable") == "true" {
		p.checks[check] = api.Check{Node: "node-1", CheckID: check, Notes: q.Get("reason")}
	} else {
		delete(p.checks, check)
	}
	return nil
}

func (p *peer) service(r *http.Request, rest string, body []byte) (any, error) {
	verb, id, _ := strings.Cut(rest, "/")
	switch verb {
	case "register":
		var d api.ServiceDefinition
		if err := json.Unmarshal(body, &d); err != nil {
			return nil, err
		}
		if d.Port < 0 || d.Port > 65535 {
			return nil, api.Errorf(400, "Invalid service port: %d", d.Port)
		}
		if d.ID == "" {
			d.ID = d.Name
		}
		p.services[d.ID] = d
	case "deregister", "maintenance":
		if _, ok := p.services[id]; !ok {
			return nil, api.Errorf(404, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
		}
		if verb == "maintenance" {
			return nil, p.maintain(r.URL.Query(), api.ServiceMaintenancePrefix+id)
		}
		delete(p.services, id)
	}
	return nil, nil
}

// agentServices are the services with their sidecars.
func (p *peer) agentServices() map[string]api.AgentService {
	all := map[string]api.AgentService{}
	for id, d := range p.services {
		all[id] = api.AgentService{ID: id, Service: d.Name, Port: d.Port, Tags: d.Tags}
		if d.Connect != nil && d.Connect.SidecarService != nil {
			all[id+"-sidecar-proxy"] = api.AgentService{
				Kind: api.KindConnectProxy, ID: id + "-sidecar-proxy", Service: d.Name + "-sidecar-proxy",
				Proxy: &api.AgentProxy{DestinationServiceID: id, DestinationServiceName: d.Name},
			}
		}
	}
	return all
}

func (p *peer) catalog(r *http.Request, rest string, _ []byte) (any, error) {
	node := api.Node{
		ID: "11111111-2222-3333-4444-555555555555", Node: "node-1", Address: "192.0.2.1", Datacenter: "dc1",
		TaggedAddresses: map[string]string{"lan": "192.0.2.1"}, Meta: map[string]string{"consul-version": "1.21.4", "rack": "r1"},
	}
	tags := map[string][]string{}
	for _, s := range p.agentServices() {
		tags[s.Service] = append(tags[s.Service], s.Tags...)
	}
	verb, name, _ := strings.Cut(rest, "/")
	switch verb {
	case "datacenters":
		return []string{"dc1"}, nil
	case "services":
		return tags, nil
	case "nodes":
		if want := r.URL.Query().Get("node-meta"); want != "" && want != "rack:r1" {
			return []api.Node{}, nil
		}
		return []api.Node{node}, nil
	case "node":
		if name != node.Node {
			return (*api.NodeServices)(nil), nil
		}
		services := map[string]api.Service{}
		for id, s := range p.services {
			services[id] = api.Service{ID: id, Service: s.Name, Tags: s.Tags}
		}
		return api.NodeServices{Node: &node, Services: services}, nil
	case "service":
		found := []api.CatalogService{}
		for _, s := range p.services {
			if s.Name == name {
				found = append(found, api.NewCatalogService(&node, &api.Service{ID: s.ID, Service: s.Name}))
			}
		}
		return found, nil
	}
	return nil, api.Errorf(404, "no such path")
}

func (p *peer) kv(r *http.Request, key string, body []byte) (any, error) {
	q := r.URL.Query()
	old, exists := p.keys[key]
	if q.Has("cas") {
		index, err := strconv.ParseUint(q.Get("cas"), 10, 64)
		if err != nil {
			return nil, err
		}
		if index != old.ModifyIndex {
			return false, nil
		}
	}
	var beneath []string
	for _, k := range slices.Sorted(maps.Keys(p.keys)) {
		if strings.HasPrefix(k, key) {
			beneath = append(beneath, k)
		}
	}
	switch {
	case r.Method == http.MethodPut:
		flags, _ := strconv.ParseUint(q.Get("flags"), 10, 64)
		if q.Has("acquire") && q.Get("acquire") != "free" {
			return false, nil
		}
		p.keys[key] = api.KVPair{Key: key, Value: body, Flags: flags, CreateIndex: 7, ModifyIndex: 7}
		return true, nil
	case r.Method == http.MethodDelete:
		delete(p.keys, key)
		for _, k := range beneath {
			if q.Has("recurse") {
				delete(p.keys, k)
			}
		}
		return true, nil
	case q.Has("keys"):
		return beneath, nil
	case q.Has("recurse"):
		var list []api.KVPair
		for _, k := range beneath {
			list = append(list, p.keys[k])
		}
		return list, nil
	case !exists:
		return nil, api.Errorf(404, "")
	}
	return []api.KVPair{old}, nil
}

func (p *peer) intention(r *http.Request, rest string, body []byte) (any, error) {
	q := r.URL.Query()
	find := func(id string) int {
		return slices.IndexFunc(p.intentions, func(x api.Intention) bool {
			return id != "" && x.ID == id || id == "" && x.SourceName == q.Get("source") && x.DestinationName == q.Get("destination")
		})
	}
	var sent api.Intention
	if len(body) > 0 {
		if err := json.Unmarshal(body, &sent); err != nil {
			return nil, err
		}
		sent.CreatedAt = time.Date(2026, 11, 23, 14, 41, 45, 0, time.UTC)
		sent.Precedence = 9
		if sent.SourceName == api.Wildcard {
			sent.Precedence = 8
		}
	}
	switch op := r.Method + " " + rest; op {
	case "GET ":
		return p.intentions, nil
	case "POST ":
		for _, x := range p.intentions {
			if x.SourceName == sent.SourceName && x.DestinationName == sent.DestinationName {
				return nil, api.Errorf(500, "duplicate intention found: ID: %s", x.ID)
			}
		}
		sent.ID = fmt.Sprintf("id-%d", len(p.intentions)+1)
		p.intentions = append(p.intentions, sent)
		return map[string]string{"ID": sent.ID}, nil
	case "GET /match":
		by, name := q.Get("by"), q.Get("name")
		var found []api.Intention
		for _, x := range p.intentions {
			if by == api.MatchDestination && x.DestinationName == name || by == api.MatchSource && (x.SourceName == name || x.SourceName == api.Wildcard) {
				found = append(found, x)
			}
		}
		return map[string][]api.Intention{name: found}, nil
	case "GET /check":
		if i := find(""); i >= 0 {
			return api.Decision{Allowed: p.intentions[i].Action == api.Allow, Why: "intention " + p.intentions[i].ID + " says so"}, nil
		}
		return api.Decision{Why: "no intention matches, and the default is deny"}, nil
	case "GET /exact", "DELETE /exact":
		i := find("")
		switch {
		case i < 0 && r.Method == http.MethodDelete:
			return true, nil
		case i < 0:
			return nil, api.Errorf(404, "Intention not found")
		case r.Method == http.MethodDelete:
			p.intentions = slices.Delete(p.intentions, i, i+1)
			return true, nil
		}
		return p.intentions[i], nil
	}
	i := find(strings.TrimPrefix(rest, "/"))
	if i < 0 {
		return nil, api.Errorf(404, "Intention not found")
	}
	switch r.Method {
	case http.MethodPut:
		sent.ID = p.intentions[i].ID
		p.intentions[i] = sent
		return map[string]string{"ID": sent.ID}, nil
	case http.MethodDelete:
		p.intentions = slices.Delete(p.intentions, i, i+1)
		return true, nil
	}
	return p.intentions[i], nil
}

func (p *peer) config(r *http.Request, rest string, body []byte) (any, error) {
	kind, name, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	key := kind + "/" + name
	cas := func() bool {
		index := uint64(0)
		if old := p.entries[key]; old != nil {
			index = old.Common().ModifyIndex
		}
		return !r.URL.Query().Has("cas") || r.URL.Query().Get("cas") == strconv.FormatUint(index, 10)
	}
	switch {
	case r.Method == http.MethodPut:
		e, err := api.DecodeConfigEntry(body)
		if err != nil {
			return nil, err
		}
		if key = e.EntryKind() + "/" + e.EntryName(); !cas() {
			return false, nil
		}
		e.Common().CreateIndex, e.Common().ModifyIndex, e.Common().Hash = 48, 48, 7
		p.entries[key] = e
		return true, nil
	case r.Method == http.MethodDelete:
		if !cas() {
			return false, nil
		}
		delete(p.entries, key)
		return true, nil
	case name == "":
		if _, err := api.NewConfigEntry(kind); err != nil {
			return nil, err
		}
		list := []api.ConfigEntry{}
		for _, k := range slices.Sorted(maps.Keys(p.entries)) {
			if strings.HasPrefix(k, kind+"/") {
				list = append(list, p.entries[k])
			}
		}
		return list, nil
	}
	if e, ok := p.entries[key]; ok {
		return e, nil
	}
	return nil, api.Errorf(404, "Config entry not found for %q / %q", kind, name)
}
