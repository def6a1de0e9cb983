package kv

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func kvOp(verb, key string, change ...func(*api.KVOp)) api.TxnOp {
	op := &api.KVOp{Verb: verb, Key: key}
	for _, ch := range change {
		ch(op)
	}
	return api.TxnOp{KV: op}
}

func value(v string) func(*api.KVOp)  { return func(o *api.KVOp) { o.Value = []byte(v) } }
func at(index uint64) func(*api.KVOp) { return func(o *api.KVOp) { o.Index = index } }
func by(session string) func(*api.KVOp) {
	return func(o *api.KVOp) { o.Session = session }
}

// run carries out operations, as a command and, if they change nothing, as a query, which must be the same.
func run(t testing.TB, s *nounstore.Store, ops ...api.TxnOp) *api.TxnResponse {
	t.Helper()
	var read *api.TxnResponse
	if TxnReads(ops) {
		read = &api.TxnResponse{}
		for _, r := range nounstore.Values[*TxnReadRow](t, s, TxnRead{ops}) {
			if r.Error != nil {
				read.Errors = append(read.Errors, *r.Error)
			} else {
				read.Results = append(read.Results, *r.Result)
			}
		}
	}
	out := nounstore.Do[*api.TxnResponse](t, s, Txn{ops})
	if read != nil && show(t, read.Errors) != show(t, out.Errors) {
		t.Errorf("read: %s, applied: %s", show(t, read.Errors), show(t, out.Errors))
	}
	if read != nil && out.Done() && len(out.Results)+len(read.Results) > 0 && show(t, read.Results) != show(t, out.Results) {
		t.Errorf("read: %s, applied: %s", show(t, read.Results), show(t, out.Results))
	}
	return out
}

func show(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// failed are the places of the operations that failed.
func failed(r *api.TxnResponse) (out []int) {
	for _, e := range r.Errors {
		out = append(out, e.OpIndex)
	}
	return out
}

// TestTxnVerbs carries out one operation at a time on the keys a (index 12, locked by the session), b and d/x.
func TestTxnVerbs(t *testing.T) {
	var id string
	start := func() *nounstore.Store {
		s := world(t)
		id = create(t, s)
		nounstore.Do[bool](t, s, acquire("a", id))
		nounstore.Do[bool](t, s, Put{Key: "b", Value: []byte("b")})
		nounstore.Do[bool](t, s, Put{Key: "d/x", Value: []byte("x"), Flags: 7})
		return s
	}
	start()
	const first = nounstore.First + 2 // of a
	for _, c := range []struct {
		op   api.TxnOp
		want string // what is wrong, or of which keys there are results, with an = if with their values
		left string // the keys afterwards
	}{
		{kvOp("set", "new", value("v")), "new", "a b d/x new"},
		{kvOp("cas", "new", value("v")), "new", "a b d/x new"},
		{kvOp("cas", "b", value("v")), "its index is 13, not 0", ""},
		{kvOp("cas", "b", at(first+1)), "b", "a b d/x"},
		{kvOp("get", "b"), "b=", ""},
		{kvOp("get", "none"), "does not exist", ""},
		{kvOp("get-or-empty", "none"), "none", ""},
		{kvOp("get-or-empty", "b"), "b=", ""},
		{kvOp("get-tree", "d/"), "d/x=", ""},
		{kvOp("get-tree", "none"), "", ""},
		{kvOp("get-tree", ""), "a= b= d/x=", ""},
		{kvOp("check-index", "b", at(first+1)), "b", ""},
		{kvOp("check-index", "b", at(1)), "has the index 13, not 1", ""},
		{kvOp("check-index", "none", at(1)), "does not exist", ""},
		{kvOp("check-index", "none"), "does not exist", ""},
		{kvOp("check-session", "a", by(id)), "a", ""},
		{kvOp("check-session", "a", by("x")), "is not locked by session", ""},
		{kvOp("check-session", "b", by(id)), "is not locked by session", ""},
		{kvOp("check-session", "none", by(id)), "does not exist", ""},
		{kvOp("check-session", "b"), "missing session", ""},
		{kvOp("check-not-exists", "none"), "", ""},
		{kvOp("check-not-exists", "b"), "exists", ""},
		{kvOp("delete", "b"), "", "a d/x"},
		{kvOp("delete", "none"), "", ""},
		{kvOp("delete-cas", "b", at(first+1)), "", "a d/x"},
		{kvOp("delete-cas", "b", at(1)), "its index is not 1", ""},
		{kvOp("delete-cas", "none", at(1)), "", ""},
		{kvOp("delete-tree", "d"), "", "a b"},
		{kvOp("delete-tree", ""), "Missing key name", ""},
		{kvOp("lock", "b", by(id)), "b", ""},
		{kvOp("lock", "a", by(id)), "a", ""},
		{kvOp("lock", "b", by("x")), "invalid session", ""},
		{kvOp("lock", "b"), "missing session", ""},
		{kvOp("unlock", "a", by(id)), "a", ""},
		{kvOp("unlock", "b", by(id)), "does not hold the lock", ""},
		{kvOp("unlock", "none", by(id)), "does not hold the lock", ""},
		{kvOp("bogus", "b"), `unknown KV verb "bogus"`, ""},
		{kvOp("set", ""), "Missing key name", ""},
		{kvOp("set", strings.Repeat("k", maxKey+1)), "at most 4096", ""},
		{kvOp("set", "x", func(o *api.KVOp) { o.Namespace = "team" }), `"default" exist`, ""},
		{api.TxnOp{}, "", ""},
		{api.TxnOp{KV: &api.KVOp{Verb: "get", Key: "b"}, Node: &api.NodeOp{}}, "is about one of", ""},
	} {
		s := start()
		before := names(t, s, List{})
		if errs := CheckTxn([]api.TxnOp{c.op}); len(errs) > 0 {
			if c.want == "" || !strings.Contains(errs[0].What, c.want) {
				t.Errorf("%s: %v", show(t, c.op), errs)
			}
			if _, _, err := s.Apply(t, Txn{[]api.TxnOp{c.op}}); api.StatusOf(err) != 400 {
				t.Errorf("%s: applied: %v", show(t, c.op), err)
			}
			continue
		}
		out := run(t, s, c.op)
		if len(out.Errors) > 0 {
			if c.want == "" || !strings.Contains(out.Errors[0].What, c.want) || len(out.Results) > 0 {
				t.Errorf("%s: %s", show(t, c.op), show(t, out))
			}
			if c.left = before; names(t, s, List{}) != before {
				t.Errorf("%s: it failed and left %s", show(t, c.op), names(t, s, List{}))
			}
			continue
		}
		var got []string
		for _, r := range out.Results {
			if got = append(got, r.KV.Key); r.KV.Value != nil {
				got[len(got)-1] += "="
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %q", show(t, c.op), got, c.want)
		}
		if left := names(t, s, List{}); c.left != "" && left != c.left {
			t.Errorf("%s: left %s, want %s", show(t, c.op), left, c.left)
		}
	}
}

// TestTxnIsOne writes and fails: all of it is taken back, and all that fails is told.
func TestTxnIsOne(t *testing.T) {
	s := world(t)
	id := create(t, s)
	nounstore.Do[bool](t, s, acquire("held", id))
	nounstore.Do[bool](t, s, Put{Key: "a", Value: []byte("1")})
	ops := []api.TxnOp{
		kvOp("set", "a", value("2")), kvOp("set", "new", value("v")), kvOp("delete-tree", "h"),
		{Node: &api.NodeOp{Verb: "set", Node: api.Node{Node: "n9", Address: "10.0.0.9"}}},
		{Node: &api.NodeOp{Verb: "delete", Node: api.Node{Node: "n1"}}},
		{Session: &api.SessionOp{Verb: "delete", Session: api.Session{ID: id}}},
		kvOp("get", "none"), kvOp("get", "a"), kvOp("check-not-exists", "a"),
	}
	before := s.Reloaded(t)
	woken := s.Wakes(t, Txn{ops}, List{}, Get{"a"}, Sessions{})
	if woken[0] || woken[1] || woken[2] {
		t.Errorf("what was taken back woke: %v", woken)
	}
	nounstore.Same(t, before, s, List{}, Get{"a"}, Get{"held"}, Get{"new"}, Sessions{}, NodeSessions{"n1"})
	out := run(t, s, ops...)
	if got := failed(out); fmt.Sprint(got) != "[6 8]" || out.Results != nil {
		t.Errorf("%s", show(t, out))
	}
	nounstore.Same(t, before, s, List{}, Get{"a"}, Get{"held"}, Sessions{})
	if tx := s.State.Read(); state.Node(tx, "n9") != nil || state.Node(tx, "n1") == nil || state.NodeCheck(tx, "n1", "c") == nil {
		t.Error("a node was not taken back")
	}
	// An operation sees what those before it did.
	out = run(t, s, kvOp("check-not-exists", "x"), kvOp("set", "x", value("1")), kvOp("get", "x"), kvOp("delete", "x"), kvOp("get-or-empty", "x"))
	if !out.Done() || len(out.Results) != 3 || string(out.Results[1].KV.Value) != "1" || out.Results[2].KV.ModifyIndex != 0 {
		t.Errorf("%s", show(t, out))
	}
}

func TestTxnLocks(t *testing.T) {
	s := world(t)
	one, two := create(t, s, func(s *api.Session) { s.LockDelay = 1 }), create(t, s)
	out := run(t, s, kvOp("lock", "k", by(one), value("v")), kvOp("check-session", "k", by(one)))
	if !out.Done() || out.Results[0].KV.LockIndex != 1 || out.Results[0].KV.Session != one || out.Results[0].KV.Value != nil {
		t.Errorf("%s", show(t, out))
	}
	if out := run(t, s, kvOp("lock", "k", by(two))); !strings.Contains(out.Errors[0].What, one) {
		t.Errorf("%s", show(t, out))
	}
	out = run(t, s, api.TxnOp{Session: &api.SessionOp{Verb: "delete", Session: api.Session{ID: one}}}, kvOp("lock", "k", by(two)))
	if fmt.Sprint(failed(out)) != "[1]" || !strings.Contains(out.Errors[0].What, "lock-delay") || get(t, s, "k").Session != one {
		t.Errorf("%s", show(t, out))
	}
}

// TestTxnCatalog goes through the verbs of nodes, services and checks.
func TestTxnCatalog(t *testing.T) {
	s := world(t)
	node := func(verb string, n api.Node) api.TxnOp { return api.TxnOp{Node: &api.NodeOp{Verb: verb, Node: n}} }
	service := func(verb, node string, v api.Service) api.TxnOp {
		return api.TxnOp{Service: &api.ServiceOp{Verb: verb, Node: node, Service: v}}
	}
	check := func(verb string, c api.Check) api.TxnOp { return api.TxnOp{Check: &api.CheckOp{Verb: verb, Check: c}} }

	out := run(t, s, node("set", api.Node{Node: "tx", Address: "10.0.0.1"}), service("set", "TX", api.Service{Service: "web", Port: 1}),
		check("set", api.Check{Node: "tx", Name: "c", ServiceID: "web"}))
	if !out.Done() || out.Results[0].Node.CreateIndex != s.Index || out.Results[1].Service.ID != "web" || out.Results[1].Service.Tags != nil ||
		out.Results[2].Check.CheckID != "c" || out.Results[2].Check.ServiceName != "web" || out.Results[2].Check.Status != api.Critical {
		t.Fatalf("%s", show(t, out))
	}
	made := s.Index
	for _, c := range []struct {
		op   api.TxnOp
		want string // what is wrong
	}{
		{node("get", api.Node{Node: "TX"}), ""},
		{node("get", api.Node{Node: "other", ID: "00000000-0000-0000-0000-0000000000n1"}), ""},
		{node("get", api.Node{Node: "tx", ID: "00000000-0000-0000-0000-000000000000"}), "does not exist"},
		{node("get", api.Node{Node: "none"}), "does not exist"},
		{node("cas", api.Node{Node: "tx", Address: "10.0.0.2"}), "its index is"},
		{node("cas", api.Node{Node: "tx", Address: "10.0.0.2", ModifyIndex: made}), ""},
		{node("cas", api.Node{Node: "another", Address: "10.0.0.2", ModifyIndex: made}), "its index is 0"},
		{node("set", api.Node{Node: "n1", Address: "10.0.0.2", ID: "00000000-0000-0000-0000-000000000009"}), "reserved by node"},
		{node("delete-cas", api.Node{Node: "tx", ModifyIndex: 1}), "its index is"},
		{node("delete-cas", api.Node{Node: "none", ModifyIndex: 1}), ""},
		{service("get", "tx", api.Service{ID: "web"}), ""},
		{service("get", "tx", api.Service{ID: "none"}), "does not exist"},
		{service("set", "none", api.Service{Service: "web"}), "no such node"},
		{service("cas", "tx", api.Service{Service: "web", Port: 2, ModifyIndex: 1}), "its index is"},
		{service("cas", "tx", api.Service{Service: "web", Port: 2, ModifyIndex: made}), ""},
		{service("delete-cas", "tx", api.Service{ID: "web", ModifyIndex: 1}), "its index is"},
		{check("get", api.Check{Node: "tx", CheckID: "c"}), ""},
		{check("get", api.Check{Node: "tx", CheckID: "none"}), "does not exist"},
		{check("set", api.Check{Node: "none", CheckID: "c"}), "no such node"},
		{check("set", api.Check{Node: "tx", CheckID: "c", ServiceID: "none"}), "no service"},
		{check("cas", api.Check{Node: "tx", CheckID: "c", ModifyIndex: 1}), "its index is"},
		{check("cas", api.Check{Node: "tx", CheckID: "c", ServiceID: "web", Status: api.Passing, ModifyIndex: made}), ""},
		{check("delete-cas", api.Check{Node: "tx", CheckID: "c", ModifyIndex: 1}), "its index is"},
		{check("delete", api.Check{Node: "tx", CheckID: "c"}), ""},
		{service("delete", "tx", api.Service{ID: "web"}), ""},
		{node("delete", api.Node{Node: "tx"}), ""},
		{node("delete", api.Node{Node: "tx"}), ""},
		{node("get", api.Node{Node: "tx"}), "does not exist"},
	} {
		out := run(t, s, c.op)
		if out.Done() != (c.want == "") || c.want != "" && !strings.Contains(out.Errors[0].What, c.want) {
			t.Errorf("%s: %s", show(t, c.op), show(t, out))
		}
	}
	for _, c := range []struct {
		op   api.TxnOp
		want string
	}{
		{node("lock", api.Node{Node: "tx"}), `unknown node verb "lock"`},
		{node("set", api.Node{Node: "tx"}), "Address"},
		{node("set", api.Node{Address: "x"}), "Must provide node"},
		{node("get", api.Node{}), "Node or ID"},
		{service("get", "", api.Service{ID: "x"}), "Node of the service"},
		{service("get", "tx", api.Service{}), "ID or Service"},
		{service("set", "tx", api.Service{ID: "x"}), "service name"},
		{service("set", "tx", api.Service{Service: "x", Port: 70000}), "Port"},
		{check("get", api.Check{CheckID: "c"}), "Node of the check"},
		{check("get", api.Check{Node: "tx"}), "CheckID"},
		{check("set", api.Check{Node: "tx", CheckID: "c", Status: "fine"}), `"fine"`},
		{api.TxnOp{Session: &api.SessionOp{Verb: "get", Session: api.Session{ID: "x"}}}, "session verb"},
		{api.TxnOp{Session: &api.SessionOp{Verb: "delete"}}, "Missing session"},
	} {
		errs := CheckTxn([]api.TxnOp{{}, c.op})
		if len(errs) != 1 || errs[0].OpIndex != 1 || !strings.Contains(errs[0].What, c.want) {
			t.Errorf("%s: %v", show(t, c.op), errs)
		}
	}
}

func TestTxnIsBounded(t *testing.T) {
	s := world(t)
	if _, _, err := s.Apply(t, Txn{make([]api.TxnOp, api.MaxTxnOps+1)}); api.StatusOf(err) != 413 {
		t.Errorf("%v", err)
	}
	if err := (TxnRead{[]api.TxnOp{kvOp("set", "k")}}).Validate(); api.StatusOf(err) != 400 {
		t.Errorf("%v", err)
	}
	nounstore.Do[bool](t, s, Put{Key: "big", Value: make([]byte, maxResults/2)})
	if out := nounstore.Do[*api.TxnResponse](t, s, Txn{[]api.TxnOp{kvOp("set", "k"), kvOp("get", "big"), kvOp("get", "big")}}); fmt.Sprint(failed(out)) != "[2]" {
		t.Errorf("%v", out.Errors)
	}
}

// TestTxnNeeds tells what it takes to carry out operations.
func TestTxnNeeds(t *testing.T) {
	s := world(t)
	id := create(t, s)
	tx := s.State.Read()
	for _, c := range []struct {
		op   api.TxnOp
		want string
	}{
		{kvOp("set", "k"), "key:write k"}, {kvOp("get", "k"), "key:read k"}, {kvOp("lock", "k", by(id)), "key:write k"},
		{kvOp("check-index", "k"), "key:read k"}, {kvOp("delete-tree", "k"), "key-prefix:write k"}, {kvOp("get-tree", "k"), "key-prefix:read k"},
		{api.TxnOp{Node: &api.NodeOp{Verb: "get", Node: api.Node{ID: "00000000-0000-0000-0000-0000000000n1"}}}, "node:read n1"},
		{api.TxnOp{Node: &api.NodeOp{Verb: "delete", Node: api.Node{Node: "x"}}}, "node:write x"},
		{api.TxnOp{Service: &api.ServiceOp{Verb: "set", Node: "n1", Service: api.Service{ID: "web", Service: "db"}}}, "service:write web, service:write db"},
		{api.TxnOp{Check: &api.CheckOp{Verb: "delete", Check: api.Check{Node: "n1", CheckID: "c"}}}, "service:write web"},
		{api.TxnOp{Check: &api.CheckOp{Verb: "set", Check: api.Check{Node: "n1", CheckID: "d"}}}, "node:write n1"},
		{api.TxnOp{Session: &api.SessionOp{Verb: "delete", Session: api.Session{ID: id}}}, "session:write n1"},
	} {
		var got []string
		for _, p := range (Txn{[]api.TxnOp{c.op}}).Needs(tx) {
			got = append(got, fmt.Sprintf("%s:%s %s", p.Resource, p.Access, p.Name))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %v, want %s", show(t, c.op), got, c.want)
		}
	}
	if got := (TxnRead{[]api.TxnOp{kvOp("get", "k"), kvOp("check-not-exists", "secret")}}).Needs(); !reflect.DeepEqual(got, permission("secret", api.Read)) {
		t.Errorf("%v", got)
	}
}

// FuzzTxn carries out whatever comes: what fails changes nothing, what only reads is the same as a query, and nothing is lost in a
// snapshot.
func FuzzTxn(f *testing.F) {
	for _, seed := range []string{
		`[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}},{"KV":{"Verb":"get","Key":"none"}}]`,
		`[{"KV":{"Verb":"get-tree","Key":""}},{"KV":{"Verb":"check-session","Key":"held","Session":"00000000-0000-4000-8000-000000000001"}}]`,
		`[{"Session":{"Verb":"delete","Session":{"ID":"00000000-0000-4000-8000-000000000001"}}},{"KV":{"Verb":"lock","Key":"held","Session":"x"}}]`,
		`[{"Node":{"Verb":"delete","Node":{"Node":"n1"}}},{"Service":{"Verb":"set","Node":"n2","Service":{"Service":"web","Port":1}}},{"Check":{"Verb":"cas","Check":{"Node":"n1","CheckID":"c"}}}]`,
		`[{"Check":{"Verb":"set","Check":{"Node":"n1","CheckID":"serfHealth","Status":"critical"}}},{"KV":{"Verb":"delete-cas","Key":"held","Index":3}}]`,
		`[{"Node":{"Verb":"set","Node":{"Node":"n3","Address":"x","ID":"00000000-0000-0000-0000-0000000000n1"}}},{}]`,
		`null`, `[null]`, `[{"KV":null}]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var ops []api.TxnOp
		if json.Unmarshal([]byte(body), &ops) != nil || api.CheckTxnSize(ops) != nil {
			return
		}
		s := world(t)
		id := create(t, s)
		nounstore.Do[bool](t, s, acquire("held", id))
		before := dump(t, s)
		if len(CheckTxn(ops)) > 0 {
			if _, _, err := s.Apply(t, Txn{ops}); err == nil {
				t.Error("what is wrong was applied")
			}
			return
		}
		out := run(t, s, ops...)
		after := dump(t, s)
		if (TxnReads(ops) || !out.Done()) && after != before {
			t.Errorf("%s: it was to change nothing:\n%s\n%s", body, before, after)
		}
		if loaded := dump(t, s.Reloaded(t)); loaded != after {
			t.Errorf("%s: %s after a snapshot, %s before", body, loaded, after)
		}
	})
}

// dump is all that a transaction can be about.
func dump(t *testing.T, s *nounstore.Store) string {
	tx := s.State.Read()
	var all []any
	for v := range state.Keys(tx, "") {
		all = append(all, v)
	}
	for v := range state.Sessions(tx) {
		all = append(all, v)
	}
	for v := range state.LockDelaysSince(tx, 0) {
		all = append(all, v)
	}
	for v := range state.Nodes(tx) {
		all = append(all, v)
	}
	for v := range state.Instances(tx) {
		all = append(all, v)
	}
	for v := range state.Checks(tx) {
		all = append(all, v)
	}
	return show(t, all)
}
