package consulclient

import (
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// TestSessions makes, renews, lists and ends sessions.
func TestSessions(t *testing.T) {
	c := start(t)
	id, _, err := c.Session().Create(&consul.SessionEntry{Name: "s", TTL: "10s", LockDelay: 2 * time.Second, Behavior: consul.SessionBehaviorDelete}, nil)
	check(t, err)
	bare, _, err := c.Session().CreateNoChecks(nil, nil)
	check(t, err)
	s, _, err := c.Session().Info(id, nil)
	check(t, err)
	if s == nil || s.Name != "s" || s.TTL != "10s" || s.LockDelay != 2*time.Second || s.Behavior != "delete" || len(s.NodeChecks) != 1 {
		t.Errorf("%+v", s)
	}
	if s, _, err := c.Session().Renew(id, nil); err != nil || s == nil || s.ID != id {
		t.Errorf("%+v, %v", s, err)
	}
	all, _, err := c.Session().List(nil)
	check(t, err)
	onNode, _, err := c.Session().Node(s.Node, nil)
	check(t, err)
	if len(all) != 2 || len(onNode) != 2 {
		t.Errorf("%d sessions, %d on the node", len(all), len(onNode))
	}
	for _, id := range []string{id, bare} {
		_, err = c.Session().Destroy(id, nil)
		check(t, err)
		if s, _, err := c.Session().Renew(id, nil); err != nil || s != nil {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// TestLock hands a lock from one holder to another, and takes it away.
func TestLock(t *testing.T) {
	c := start(t)
	one, err := c.LockKey("lock")
	check(t, err)
	two, err := c.LockOpts(&consul.LockOptions{Key: "lock", LockTryOnce: true, LockWaitTime: 100 * time.Millisecond})
	check(t, err)
	lost, err := one.Lock(nil)
	check(t, err)
	if got, err := two.Lock(nil); err != nil || got != nil {
		t.Errorf("two hold the lock: %v, %v", got, err)
	}
	check(t, one.Unlock())
	<-lost
	lost, err = two.Lock(nil)
	check(t, err)
	pair, _, err := c.KV().Get("lock", nil)
	check(t, err)
	_, err = c.Session().Destroy(pair.Session, nil)
	check(t, err)
	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Error("the holder does not learn that it has lost the lock")
	}
}

// TestSemaphore fills two places.
func TestSemaphore(t *testing.T) {
	c := start(t)
	place := func() *consul.Semaphore {
		s, err := c.SemaphoreOpts(&consul.SemaphoreOptions{Prefix: "sem", Limit: 2, SemaphoreTryOnce: true, SemaphoreWaitTime: 100 * time.Millisecond})
		check(t, err)
		return s
	}
	one, two, three := place(), place(), place()
	for _, s := range []*consul.Semaphore{one, two} {
		if got, err := s.Acquire(nil); err != nil || got == nil {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if got, err := three.Acquire(nil); err != nil || got != nil {
		t.Errorf("three hold two places: %v, %v", got, err)
	}
	check(t, one.Release())
	if got, err := three.Acquire(nil); err != nil || got == nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestTxn carries out transactions about all that there is.
func TestTxn(t *testing.T) {
	c := start(t)
	ok, out, _, err := c.Txn().Txn(consul.TxnOps{
		{KV: &consul.KVTxnOp{Verb: consul.KVSet, Key: "a", Value: []byte("1"), Flags: 7}},
		{Node: &consul.NodeTxnOp{Verb: consul.NodeSet, Node: consul.Node{Node: "n", Address: "10.0.0.1"}}},
		{Service: &consul.ServiceTxnOp{Verb: consul.ServiceSet, Node: "n", Service: consul.AgentService{ID: "w", Service: "web", Port: 80, Tags: []string{"t"}}}},
		{Check: &consul.CheckTxnOp{Verb: consul.CheckSet, Check: consul.HealthCheck{
			Node: "n", CheckID: "c", Name: "c", Status: "passing", ServiceID: "w", Definition: consul.HealthCheckDefinition{HTTP: "http://x", IntervalDuration: time.Second},
		}}},
		{KV: &consul.KVTxnOp{Verb: consul.KVGet, Key: "a"}},
	}, nil)
	check(t, err)
	if !ok || len(out.Results) != 5 || string(out.Results[4].KV.Value) != "1" || out.Results[2].Service.Tags[0] != "t" || out.Results[3].Check.ServiceName != "web" {
		t.Fatalf("%v, %+v", ok, out)
	}
	entries, _, err := c.Health().Service("web", "t", true, nil)
	check(t, err)
	if len(entries) != 1 || entries[0].Node.Node != "n" || entries[0].Checks[0].Definition.IntervalDuration != time.Second {
		t.Errorf("%+v", entries)
	}
	ok, out, _, err = c.Txn().Txn(consul.TxnOps{
		{KV: &consul.KVTxnOp{Verb: consul.KVDelete, Key: "a"}},
		{KV: &consul.KVTxnOp{Verb: consul.KVCheckIndex, Key: "a", Index: 1}},
	}, nil)
	check(t, err)
	if ok || len(out.Errors) != 1 || out.Errors[0].OpIndex != 1 {
		t.Errorf("%v, %+v", ok, out)
	}
	if pair, _, err := c.KV().Get("a", nil); err != nil || pair == nil {
		t.Errorf("it was not taken back: %v, %v", pair, err)
	}
	ok, read, _, err := c.KV().Txn(consul.KVTxnOps{{Verb: consul.KVGetTree, Key: ""}}, &consul.QueryOptions{AllowStale: true})
	check(t, err)
	if !ok || len(read.Results) != 1 || read.Results[0].Flags != 7 {
		t.Errorf("%v, %+v", ok, read)
	}
}
