package consulclient

import (
	"context"
	"fmt"
	"os"
	"testing"

	consul "github.com/hashicorp/consul/api"

	"github.com/parleymesh/parley/testutil"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testutil.Clean()
	os.Exit(code)
}

func start(t *testing.T) *consul.Client {
	a := testutil.Dev(t)
	c, err := consul.NewClient(&consul.Config{Address: a.HTTPAddr()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRegistration registers a service with a TTL check, and follows its health.
func TestRegistration(t *testing.T) {
	c := start(t)
	check(t, c.Agent().ServiceRegister(&consul.AgentServiceRegistration{
		ID: "web-1", Name: "web", Tags: []string{"v1"}, Port: 8080, Address: "10.0.0.1", Meta: map[string]string{"k": "v"},
		Check:   &consul.AgentServiceCheck{CheckID: "web-ttl", TTL: "30s"},
		Connect: &consul.AgentServiceConnect{SidecarService: &consul.AgentServiceRegistration{}},
	}))
	wait(t, "the instance", func() (bool, error) {
		entries, _, err := c.Health().Service("web", "v1", false, nil)
		return len(entries) == 1 && entries[0].Service.Address == "10.0.0.1" && entries[0].Checks.AggregatedStatus() == consul.HealthCritical, err
	})
	_, meta, err := c.Health().Service("web", "", true, nil)
	check(t, err)
	check(t, c.Agent().UpdateTTL("web-ttl", "fine", consul.HealthPassing))
	wait(t, "the instance to pass", func() (bool, error) {
		entries, _, err := c.Health().Service("web", "", true, &consul.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: testutil.Patience})
		return len(entries) == 1 && entries[0].Service.Meta["k"] == "v", err
	})
	sidecars, _, err := c.Health().Connect("web", "", false, nil)
	check(t, err)
	if len(sidecars) != 1 || sidecars[0].Service.Proxy.DestinationServiceName != "web" {
		t.Errorf("sidecars: %v", sidecars)
	}
	leaf, _, err := c.Agent().ConnectCALeaf("web", nil)
	check(t, err)
	if leaf.Service != "web" || leaf.PrivateKeyPEM == "" {
		t.Errorf("leaf: %v", leaf.ServiceURI)
	}
	services, err := c.Agent().Services()
	check(t, err)
	if services["web-1"] == nil || services["web-1-sidecar-proxy"] == nil {
		t.Errorf("services: %v", services)
	}
	check(t, c.Agent().ServiceDeregister("web-1"))
	wait(t, "the instance to go", func() (bool, error) {
		found, _, err := c.Catalog().Service("web", "", nil)
		return len(found) == 0, err
	})
	if err := c.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "bad", Port: 70000}); err == nil {
		t.Error("a port out of range was taken")
	}
}

// TestKV writes, reads, compares and deletes keys.
func TestKV(t *testing.T) {
	c := start(t)
	for _, key := range []string{"a/b", "a/c", "d"} {
		_, err := c.KV().Put(&consul.KVPair{Key: key, Value: []byte(key), Flags: 42}, nil)
		check(t, err)
	}
	pair, _, err := c.KV().Get("a/b", nil)
	check(t, err)
	if pair == nil || string(pair.Value) != "a/b" || pair.Flags != 42 {
		t.Fatalf("get: %v", pair)
	}
	pair.Value = []byte("new")
	if ok, _, err := c.KV().CAS(pair, nil); err != nil || !ok {
		t.Errorf("cas: %t, %v", ok, err)
	}
	if ok, _, err := c.KV().CAS(pair, nil); err != nil || ok {
		t.Errorf("cas of what has changed: %t, %v", ok, err)
	}
	keys, _, err := c.KV().Keys("", "/", nil)
	check(t, err)
	if fmt.Sprint(keys) != "[a/ d]" {
		t.Errorf("keys: %v", keys)
	}
	_, err = c.KV().DeleteTree("a/", nil)
	check(t, err)
	if pairs, _, err := c.KV().List("a/", nil); err != nil || len(pairs) != 0 {
		t.Errorf("list: %v, %v", pairs, err)
	}
}

// TestIntentions makes rules both ways, and asks.
func TestIntentions(t *testing.T) {
	c := start(t)
	ask := func(want bool) {
		t.Helper()
		allowed, _, err := c.Connect().IntentionCheck(&consul.IntentionCheck{Source: "web", Destination: "db"}, nil)
		if err != nil || allowed != want {
			t.Errorf("allowed: %t, %v, want %t", allowed, err, want)
		}
	}
	ask(false)
	_, err := c.Connect().IntentionUpsert(&consul.Intention{SourceName: "web", DestinationName: "db", Action: consul.IntentionActionAllow}, nil)
	check(t, err)
	ask(true)
	entry, _, err := c.ConfigEntries().Get(consul.ServiceIntentions, "db", nil)
	check(t, err)
	if in := entry.(*consul.ServiceIntentionsConfigEntry); len(in.Sources) != 1 || in.Sources[0].Name != "web" {
		t.Errorf("entry: %v", in)
	}
	auth, err := c.Agent().ConnectAuthorize(&consul.AgentAuthorizeParams{Target: "db", ClientCertURI: uri(t, c, "web"), ClientCertSerial: "1"})
	if err != nil || !auth.Authorized || auth.Reason == "" {
		t.Errorf("authorize: %v, %v", auth, err)
	}
	_, err = c.Connect().IntentionDeleteExact("web", "db", nil)
	check(t, err)
	ask(false)
	_, _, err = c.ConfigEntries().Set(&consul.ServiceIntentionsConfigEntry{
		Kind: consul.ServiceIntentions, Name: "db", Sources: []*consul.SourceIntention{{Name: "*", Action: consul.IntentionActionAllow}},
	}, nil)
	check(t, err)
	ask(true)
	list, _, err := c.Connect().Intentions(nil)
	check(t, err)
	if len(list) != 1 || list[0].SourceName != "*" {
		t.Errorf("list: %v", list)
	}
}

// TestAgent asks the agent about itself.
func TestAgent(t *testing.T) {
	c := start(t)
	self, err := c.Agent().Self()
	check(t, err)
	if self["Config"]["NodeName"] != "dev" {
		t.Errorf("self: %v", self["Config"])
	}
	members, err := c.Agent().Members(false)
	check(t, err)
	if len(members) != 1 || members[0].Tags["role"] != "consul" {
		t.Errorf("members: %v", members)
	}
	if leader, err := c.Status().Leader(); err != nil || leader == "" {
		t.Errorf("leader: %q, %v", leader, err)
	}
	raft, err := c.Operator().RaftGetConfiguration(nil)
	check(t, err)
	if len(raft.Servers) != 1 || !raft.Servers[0].Leader {
		t.Errorf("raft: %v", raft)
	}
	chain, _, err := c.DiscoveryChain().Get("web", nil, nil)
	check(t, err)
	if chain.Chain.Protocol != "tcp" || len(chain.Chain.Targets) != 1 {
		t.Errorf("chain: %v", chain.Chain)
	}
}

// uri is the SPIFFE id of a service.
func uri(t *testing.T, c *consul.Client, service string) string {
	t.Helper()
	leaf, _, err := c.Agent().ConnectCALeaf(service, nil)
	check(t, err)
	return leaf.ServiceURI
}

func wait(t *testing.T, what string, try func() (bool, error)) {
	t.Helper()
	testutil.Eventually(t, what, func(context.Context) error {
		ok, err := try()
		if err == nil && !ok {
			err = fmt.Errorf("not yet")
		}
		return err
	})
}
