package kv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// naive is locks as one would write them down at first: maps that are searched.
type naive struct {
	keys     map[string]*naiveKey
	sessions map[string]*api.Session
	delayed  map[string]uint64 // by key: the index at which the delay began
	critical map[string]bool   // nodes
}

type naiveKey struct {
	value, holder string
	locked        uint64 // how often
}

func (n *naive) acquire(key, session, value string) bool {
	k := n.keys[key]
	if k != nil && k.holder != "" && k.holder != session {
		return false
	}
	if k != nil && k.holder == session {
		k.value = value
		return true
	}
	if n.delayed[key] != 0 {
		return false
	}
	if k == nil {
		k = &naiveKey{}
		n.keys[key] = k
	}
	k.holder, k.value = session, value
	k.locked++
	return true
}

func (n *naive) release(key, session, value string) bool {
	k := n.keys[key]
	if k == nil || k.holder != session {
		return false
	}
	k.holder, k.value = "", value
	return true
}

func (n *naive) put(key, value string) {
	if n.keys[key] == nil {
		n.keys[key] = &naiveKey{}
	}
	n.keys[key].value, n.keys[key].locked = value, 0
}

func (n *naive) end(id string, index uint64) {
	s := n.sessions[id]
	delete(n.sessions, id)
	if s == nil {
		return
	}
	for name, k := range n.keys {
		if k.holder != id {
			continue
		}
		if k.holder = ""; s.Behavior == api.SessionDelete {
			delete(n.keys, name)
		}
		if s.LockDelay > 0 {
			n.delayed[name] = index
		}
	}
}

func (n *naive) String() string {
	var b strings.Builder
	for _, name := range keyNames {
		if k := n.keys[name]; k != nil {
			fmt.Fprintf(&b, "%s=%s by %s %d; ", name, k.value, k.holder, k.locked)
		}
		fmt.Fprintf(&b, "delayed %d; ", n.delayed[name])
	}
	fmt.Fprintf(&b, "%d sessions", len(n.sessions))
	return b.String()
}

// told is the same as the store has it.
func told(s *nounstore.Store) string {
	tx := s.State.Read()
	var b strings.Builder
	for _, name := range keyNames {
		if k := state.Key(tx, name); k != nil {
			fmt.Fprintf(&b, "%s=%s by %s %d; ", name, k.Value, k.Session, k.LockIndex)
		}
		at := uint64(0)
		if d := state.FindLockDelay(tx, name); d != nil {
			at = d.Index
		}
		fmt.Fprintf(&b, "delayed %d; ", at)
	}
	n := 0
	for range state.Sessions(tx) {
		n++
	}
	fmt.Fprintf(&b, "%d sessions", n)
	return b.String()
}

var keyNames = []string{"a", "a/b", "c"}

// TestHistories carries out random histories of what concerns locks, by commands and by transactions, and compares with the
// naive account after every step.
func TestHistories(t *testing.T) {
	for seed := range uint64(200) {
		history(t, seed)
	}
}

func history(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	s := world(t)
	n := &naive{keys: map[string]*naiveKey{}, sessions: map[string]*api.Session{}, delayed: map[string]uint64{}, critical: map[string]bool{}}
	var ids []string
	var did []string
	for step := range 120 {
		key, id, text := keyNames[r.IntN(len(keyNames))], "gone", fmt.Sprint(step)
		if len(ids) > 0 {
			id = ids[r.IntN(len(ids))]
		}
		node := fmt.Sprint("n", 1+r.IntN(2))
		viaTxn := r.IntN(2) == 0
		// do carries out a change that may fail, as a command or as an operation of a transaction.
		do := func(c Put, operation string) bool {
			if viaTxn {
				op := kvOp(operation, c.Key, by(id), value(string(c.Value)))
				return nounstore.Do[*api.TxnResponse](t, s, Txn{[]api.TxnOp{kvOp("get-or-empty", c.Key), op}}).Done()
			}
			res, _, err := s.Apply(t, c)
			var done bool
			if err == nil {
				err = res.Decode(&done)
			}
			return err == nil && done
		}
		var got, want any
		switch what := r.IntN(12); what {
		case 0, 1:
			did = append(did, "create on "+node)
			if n.critical[node] {
				_, _, err := s.Apply(t, session(func(s *api.Session) { s.Node = node }))
				got, want = err != nil, true
				break
			}
			made := api.Session{Node: node, Behavior: []string{api.SessionRelease, api.SessionDelete}[r.IntN(2)], LockDelay: time.Duration(r.IntN(2)) * time.Second, NodeChecks: []string{api.SerfHealth}}
			id := nounstore.Do[string](t, s, CreateSession{made})
			ids = append(ids, id)
			n.sessions[id] = &made
		case 2, 3, 4, 5:
			did = append(did, "acquire "+key+" "+id)
			got, want = do(Put{Key: key, Value: []byte(text), Acquire: &id}, "lock"), n.sessions[id] != nil && n.acquire(key, id, text)
		case 6, 7:
			did = append(did, "release "+key+" "+id)
			got, want = do(Put{Key: key, Value: []byte(text), Release: &id}, "unlock"), n.release(key, id, text)
		case 8:
			did = append(did, "put "+key)
			got, want = do(Put{Key: key, Value: []byte(text)}, "set"), true
			n.put(key, text)
		case 9:
			did = append(did, "delete "+key)
			nounstore.Do[bool](t, s, Delete{Key: key})
			delete(n.keys, key)
		case 10:
			did = append(did, "end "+id)
			if viaTxn {
				nounstore.Do[*api.TxnResponse](t, s, Txn{[]api.TxnOp{{Session: &api.SessionOp{Verb: "delete", Session: api.Session{ID: id}}}}})
			} else {
				nounstore.Do[bool](t, s, []verb.Command{DestroySession{id}, Expire{Sessions: []string{id}}}[r.IntN(2)])
			}
			n.end(id, s.Index)
		case 11:
			if r.IntN(2) == 0 {
				did = append(did, "delays end")
				var all []ExpiredDelay
				for name, at := range n.delayed {
					all = append(all, ExpiredDelay{name, at})
				}
				nounstore.Do[bool](t, s, Expire{Delays: all})
				clear(n.delayed)
				break
			}
			n.critical[node] = !n.critical[node]
			status := api.Passing
			if n.critical[node] {
				status = api.Critical
			}
			did = append(did, node+" is "+status)
			write(t, s, func(tx *state.Tx) {
				state.PutCheck(tx, api.Check{Node: node, CheckID: api.SerfHealth, Status: status})
			})
			for id, v := range n.sessions {
				if n.critical[node] && v.Node == node {
					n.end(id, s.Index)
				}
			}
		}
		if got != want || told(s) != n.String() {
			t.Fatalf("seed %d: %s: got %v, want %v\n got %s\nwant %s", seed, strings.Join(did, "; "), got, want, told(s), n)
		}
		if step%40 == 39 {
			s = s.Reloaded(t)
		}
	}
}
