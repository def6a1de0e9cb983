package kv

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// world is a store with the nodes n1 and n2, each alive, and on n1 the service web with a check.
func world(t testing.TB) *nounstore.Store {
	s := nounstore.New()
	write(t, s, func(tx *state.Tx) {
		for _, node := range []string{"n1", "n2"} {
			state.PutNode(tx, api.Node{Node: node, Address: "10.0.0.1", ID: "00000000-0000-0000-0000-0000000000" + node})
			state.PutCheck(tx, api.Check{Node: node, CheckID: api.SerfHealth, Status: api.Passing})
		}
		state.PutService(tx, "n1", api.Service{Service: "web"}.Normalized())
		state.PutCheck(tx, api.Check{Node: "n1", CheckID: "c", ServiceID: "web", Status: api.Warning})
	})
	return s
}

// write changes what other nouns' commands change.
func write(t testing.TB, s *nounstore.Store, change func(*state.Tx)) {
	t.Helper()
	s.Index++
	tx := s.State.Write()
	tx.At(api.Tenant{}, s.Index)
	change(tx)
	tx.Commit()
}

func session(change ...func(*api.Session)) CreateSession {
	s := api.Session{Node: "n1", Behavior: api.SessionRelease, NodeChecks: []string{api.SerfHealth}}
	for _, ch := range change {
		ch(&s)
	}
	return CreateSession{s}
}

func create(t testing.TB, s *nounstore.Store, change ...func(*api.Session)) string {
	t.Helper()
	return nounstore.Do[string](t, s, session(change...))
}

func acquire(key, session string) Put {
	return Put{Key: key, Value: []byte(session), Acquire: &session}
}

func release(key, session string) Put { return Put{Key: key, Value: []byte("free"), Release: &session} }

// get returns a key; the zero value when there is none.
func get(t testing.TB, s *nounstore.Store, key string) api.KVPair {
	t.Helper()
	if found := nounstore.Values[*api.KVPair](t, s, Get{key}); len(found) > 0 {
		return *found[0]
	}
	return api.KVPair{}
}

func TestSessions(t *testing.T) {
	s := world(t)
	if _, index, _ := s.Ask(t, Sessions{}); index != 1 {
		t.Errorf("index of what never was: %d", index)
	}
	a := create(t, s, func(s *api.Session) { s.Node, s.Name, s.TTL, s.LockDelay = "N1", "a", "10s", time.Second })
	b := create(t, s, func(s *api.Session) { s.Node, s.NodeChecks = "n2", []string{} })
	want := &api.Session{
		ID: a, Node: "n1", Name: "a", TTL: "10s", LockDelay: time.Second, Behavior: api.SessionRelease, NodeChecks: []string{api.SerfHealth},
		CreateIndex: s.Index - 1, ModifyIndex: s.Index - 1,
	}
	for _, c := range []struct {
		q    verb.Query
		want []string
	}{
		{Sessions{}, []string{a, b}}, {NodeSessions{"N1"}, []string{a}}, {NodeSessions{"n2"}, []string{b}}, {NodeSessions{"n3"}, nil},
		{NodeSessions{"00000000-0000-0000-0000-0000000000n2"}, []string{b}}, {Session{a}, []string{a}}, {Session{"x"}, nil},
	} {
		var got []string
		for _, v := range nounstore.Values[*api.Session](t, s, c.q) {
			got = append(got, v.ID)
			if v.ID == a && !reflect.DeepEqual(v, want) {
				t.Errorf("got %+v, want %+v", v, want)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%#v: got %v, want %v", c.q, got, c.want)
		}
	}
	if _, index, _ := s.Ask(t, Session{"x"}); index != s.Index {
		t.Errorf("the index of an absent session is %d, want that of the last change of any, %d", index, s.Index)
	}
	for range 2 { // what is gone is no obstacle
		if !nounstore.Do[bool](t, s, DestroySession{b}) {
			t.Error("not destroyed")
		}
	}
	if got := nounstore.Values[*api.Session](t, s, Sessions{}); len(got) != 1 {
		t.Errorf("got %d sessions", len(got))
	}
}

func TestBadSessions(t *testing.T) {
	s := world(t)
	write(t, s, func(tx *state.Tx) { state.PutCheck(tx, api.Check{Node: "n1", CheckID: "bad", Status: api.Critical}) })
	for _, c := range []struct {
		c      verb.Command
		status int
		want   string
	}{
		{session(func(s *api.Session) { s.Node = "nothing" }), 500, "apply failed: Missing node registration"},
		{session(func(s *api.Session) { s.Node = "" }), 500, "Must provide Node"},
		{session(func(s *api.Session) { s.NodeChecks = []string{"none"} }), 500, "Missing check 'none' registration"},
		{session(func(s *api.Session) { s.NodeChecks = []string{"bad"} }), 500, "Check 'bad' is in critical state"},
		{session(func(s *api.Session) { s.ServiceChecks = []api.ServiceCheck{{ID: "bad"}} }), 500, "Check 'bad' is in critical state"},
		{session(func(s *api.Session) { s.TTL = "25h" }), 500, "Invalid Session TTL"},
		{session(func(s *api.Session) { s.TTL = "-1s" }), 500, "Invalid Session TTL"},
		{session(func(s *api.Session) { s.TTL = "x" }), 500, "Session TTL 'x' invalid"},
		{session(func(s *api.Session) { s.Behavior = "bogus" }), 500, "Invalid Behavior setting 'bogus'"},
		{DestroySession{}, 400, "Missing session"},
		{RenewSession{}, 400, "Missing session"},
		{acquire("k", "none"), 500, `invalid session "none"`},
		{acquire("k", ""), 500, "missing session"},
		{release("k", ""), 500, "missing session"},
		{Put{Key: "k", Acquire: new(string), Release: new(string)}, 400, "only one of"},
	} {
		_, _, err := s.Apply(t, c.c)
		if api.StatusOf(err) != c.status || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.c, err, c.want)
		}
	}
	if got := nounstore.Values[*api.Session](t, s, Sessions{}); len(got) != 0 {
		t.Errorf("%d sessions were made", len(got))
	}
}

// leader is a leader's memory that knows one session.
type leader struct{ session string }

func (l leader) RenewSession(s *api.Session) bool { return s.ID == l.session }

func TestRenewalNeedsTheLeader(t *testing.T) {
	s := world(t)
	a, b := create(t, s), create(t, s)
	tx := s.State.Read()
	tx.At(api.Tenant{}, 0)
	if v, err := (RenewSession{a}).ApplyAtLeader(tx, leader{a}); err != nil || v.(*api.Session).ID != a {
		t.Errorf("%v, %v", v, err)
	}
	for _, id := range []string{b, "none"} { // one that is ending, and one that is gone
		if _, err := (RenewSession{id}).ApplyAtLeader(tx, leader{a}); api.StatusOf(err) != 404 {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := (RenewSession{a}).Apply(tx); err == nil {
		t.Error("a renewal was applied")
	}
}

// TestSessionEnds looks at what ends a session, what it does to a key, and what does not.
func TestSessionEnds(t *testing.T) {
	onCheck := func(s *api.Session) { s.NodeChecks, s.ServiceChecks = []string{}, []api.ServiceCheck{{ID: "c"}} }
	for _, c := range []struct {
		name    string
		session func(*api.Session)
		change  func(*state.Tx)
		ends    bool
	}{
		{"its node goes", func(*api.Session) {}, func(tx *state.Tx) { state.DeleteNode(tx, "N1") }, true},
		{"another node goes", func(*api.Session) {}, func(tx *state.Tx) { state.DeleteNode(tx, "n2") }, false},
		{"its node turns critical", func(*api.Session) {}, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "N1", CheckID: api.SerfHealth, Status: api.Critical})
		}, true},
		{"its node is in warning", func(*api.Session) {}, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "n1", CheckID: api.SerfHealth, Status: api.Warning})
		}, false},
		{"another node turns critical", func(*api.Session) {}, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "n2", CheckID: api.SerfHealth, Status: api.Critical})
		}, false},
		{"another check turns critical", func(*api.Session) {}, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "n1", CheckID: "c", ServiceID: "web", Status: api.Critical})
		}, false},
		{"its service's check turns critical", onCheck, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "n1", CheckID: "c", ServiceID: "web", Status: api.Critical})
		}, true},
		{"its check is gone", onCheck, func(tx *state.Tx) { state.DeleteCheck(tx, "n1", "c") }, true},
		{"its service is gone", onCheck, func(tx *state.Tx) { state.DeleteService(tx, "n1", "web") }, true},
		{"its node turns critical, which it does not ask for", onCheck, func(tx *state.Tx) {
			state.PutCheck(tx, api.Check{Node: "n1", CheckID: api.SerfHealth, Status: api.Critical})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := world(t)
			id := create(t, s, c.session)
			nounstore.Do[bool](t, s, acquire("k", id))
			write(t, s, c.change)
			left := nounstore.Values[*api.Session](t, s, Session{id})
			if (len(left) == 0) != c.ends || (get(t, s, "k").Session == "") != c.ends {
				t.Errorf("%d sessions are left, the key is %+v", len(left), get(t, s, "k"))
			}
		})
	}
}

// TestBehaviorAndDelay looks at what the end of a session does to its keys.
func TestBehaviorAndDelay(t *testing.T) {
	for _, behavior := range []string{api.SessionRelease, api.SessionDelete} {
		for _, delay := range []time.Duration{-time.Second, 0, time.Second, time.Hour} {
			s := world(t)
			id, other := create(t, s, func(s *api.Session) { s.Behavior, s.LockDelay = behavior, delay }), create(t, s)
			for _, key := range []string{"a", "b"} {
				nounstore.Do[bool](t, s, acquire(key, id))
			}
			nounstore.Do[bool](t, s, acquire("others", other))
			nounstore.Do[bool](t, s, release("b", id)) // given up by itself: no delay
			woken := s.Wakes(t, Expire{Sessions: []string{id, "none"}}, Get{"a"}, Get{"b"}, Get{"others"}, Session{id}, NodeSessions{"n1"}, NodeSessions{"n2"}, Session{other})
			if want := []bool{true, false, false, true, true, false, false}; !slices.Equal(woken, want) {
				t.Errorf("%s: woken %v", behavior, woken)
			}
			want := api.KVPair{}
			if behavior == api.SessionRelease {
				want = api.KVPair{Key: "a", Value: []byte(id), LockIndex: 1, CreateIndex: get(t, s, "a").CreateIndex, ModifyIndex: s.Index}
			}
			if got := get(t, s, "a"); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", behavior, got, want)
			}
			began := s.Index
			if got := nounstore.Do[bool](t, s, acquire("a", other)); got != (delay <= 0) {
				t.Errorf("%s, delay %s: locked: %v", behavior, delay, got)
			}
			if !nounstore.Do[bool](t, s, acquire("b", other)) || !nounstore.Do[bool](t, s, Put{Key: "a"}) {
				t.Errorf("%s, delay %s: kept from what is no lock", behavior, delay)
			}
			if delay <= 0 {
				continue
			}
			nounstore.Do[bool](t, s, Expire{Delays: []ExpiredDelay{{"a", began - 1}, {"b", began}}})
			if nounstore.Do[bool](t, s, acquire("a", other)) {
				t.Errorf("%s: the end of another delay ended this one", behavior)
			}
			tx := s.State.Read()
			if d := state.FindLockDelay(tx, "a"); d == nil || d.Delay != min(delay, time.Minute) || d.Index != began {
				t.Errorf("%s: %+v", behavior, d)
			}
			s = s.Reloaded(t)
			if nounstore.Do[bool](t, s, acquire("a", other)) {
				t.Errorf("%s: a snapshot ended the delay", behavior)
			}
			nounstore.Do[bool](t, s, Expire{Delays: []ExpiredDelay{{"a", began}}})
			if !nounstore.Do[bool](t, s, acquire("a", other)) {
				t.Errorf("%s: the delay does not end", behavior)
			}
		}
	}
}

func TestQueriesGoWithTheirSession(t *testing.T) {
	s := world(t)
	id := create(t, s)
	write(t, s, func(tx *state.Tx) {
		state.PutPreparedQuery(tx, api.PreparedQuery{ID: "q", Session: id})
		state.PutPreparedQuery(tx, api.PreparedQuery{ID: "r", Name: "r"})
	})
	nounstore.Do[bool](t, s, DestroySession{id})
	if tx := s.State.Read(); state.PreparedQuery(tx, "q") != nil || state.PreparedQuery(tx, "r") == nil {
		t.Error("a query outlives its session, or goes with none")
	}
}

func TestSessionSnapshot(t *testing.T) {
	s := world(t)
	a := create(t, s, func(s *api.Session) { s.NodeChecks, s.LockDelay = []string{}, time.Second })
	b := create(t, s, func(s *api.Session) { s.ServiceChecks = []api.ServiceCheck{{ID: "c"}} })
	nounstore.Do[bool](t, s, acquire("k", a))
	nounstore.Do[bool](t, s, acquire("l", b))
	loaded := s.Reloaded(t)
	nounstore.Same(t, s, loaded, Session{a}, Session{b}, Session{"none"}, Sessions{}, NodeSessions{"n1"}, NodeSessions{"n2"}, List{})
	// What belongs together does so afterwards.
	write(t, loaded, func(tx *state.Tx) { state.DeleteService(tx, "n1", "web") })
	if get(t, loaded, "k").Session != a || get(t, loaded, "l").Session != "" {
		t.Errorf("k is %+v, l is %+v", get(t, loaded, "k"), get(t, loaded, "l"))
	}
}

// TestIndexesOfSessionsStayBounded makes and ends many: nothing may be left of them.
func TestIndexesOfSessionsStayBounded(t *testing.T) {
	s := world(t)
	rows := func() int {
		n := 0
		for range state.SessionsSince(s.State.Read(), 0) {
			n++
		}
		return n
	}
	for range 100 {
		id := create(t, s)
		nounstore.Do[bool](t, s, acquire("k", id))
		nounstore.Do[bool](t, s, DestroySession{id})
	}
	if n := rows(); n != 0 {
		t.Errorf("%d are left", n)
	}
	last := create(t, s)
	var seen []string
	for v := range state.SessionsSince(s.State.Read(), s.Index-1) {
		seen = append(seen, v.ID)
	}
	if !slices.Equal(seen, []string{last}) {
		t.Errorf("since then: %v", seen)
	}
}

func TestErrorsOfLocksAreThoseClientsKnow(t *testing.T) {
	// Clients make another session when they read this.
	s := world(t)
	_, _, err := s.Apply(t, acquire("k", "gone"))
	var e *api.Error
	if !errors.As(err, &e) || e.Message != `raft apply failed: invalid session "gone"` {
		t.Errorf("%v", err)
	}
}
