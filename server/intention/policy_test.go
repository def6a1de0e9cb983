package intention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// ruleLines are rules as the tables write them.
func ruleLines(rules []*Rule) string {
	var out []string
	for _, r := range rules {
		does := map[bool]string{true: "allow", false: "deny"}[r.Allow]
		switch {
		case r.Default:
			does += " by default"
		case r.Peer != "":
			does += " from " + r.Peer
		}
		out = append(out, r.Source+" "+does)
	}
	return strings.Join(out, ", ")
}

func TestPolicy(t *testing.T) {
	s := nounstore.New()
	ask := func(destination, want string) {
		t.Helper()
		if got := ruleLines(nounstore.Values[*Rule](t, s, Policy{destination})); got != want {
			t.Errorf("%s: got %q, want %q", destination, got, want)
		}
	}
	ask("db", "* deny by default") // nobody has said anything yet
	nounstore.Do[bool](t, s, SetDefault{true, "a test says so"})
	ask("db", "* allow by default")
	upsert(t, s, "* -> db deny", "web -> * allow", "api -> db allow", "* -> * deny", "web -> other deny")
	x := read(t, "api -> db deny")
	x.SourcePeer = "east"
	nounstore.Do[bool](t, s, Upsert{x})
	ask("db", "api allow, api deny from east, * deny, web allow, * deny, * allow by default")
	ask("other", "web deny, web allow, * deny, * allow by default")
	ask("nothing", "web allow, * deny, * allow by default")
	ask("*", "web allow, * deny, * allow by default")
}

func TestDecisionsTellWhy(t *testing.T) {
	s := nounstore.New()
	nounstore.Do[bool](t, s, SetDefault{false, "Parley's default"})
	upsert(t, s, "web -> db allow", "web -> other deny", "job -> * allow")
	for _, c := range []struct {
		source, destination string
		want                api.Decision
	}{
		{"web", "db", api.Decision{Allowed: true, Rule: "intention:web->db", Why: "intention web -> db (precedence 9) allows"}},
		{"web", "other", api.Decision{Rule: "intention:web->other", Why: "intention web -> other (precedence 9) denies"}},
		{"job", "db", api.Decision{Allowed: true, Rule: "intention:job->*", Why: "intention job -> * (precedence 6) allows"}},
		{"api", "db", api.Decision{Why: "no intention matches, and the default is to deny: Parley's default"}},
	} {
		if got := *nounstore.Values[*api.Decision](t, s, Check{c.source, c.destination})[0]; got != c.want {
			t.Errorf("%s -> %s: got %+v, want %+v", c.source, c.destination, got, c.want)
		}
	}
}

func TestDecideFailsClosed(t *testing.T) {
	for _, rules := range [][]*Rule{
		nil,
		{{Source: "web", Peer: "east", Allow: true}},
		{{Source: "*", Namespace: "team", Allow: true}},
		{{Source: "*", Partition: "p", Allow: true}},
		{{Source: "*", Allow: true, HTTP: true}},
		{{Source: "webapp", Allow: true}},
	} {
		if d := Decide(rules, "web"); d.Allowed || d.Why == "" {
			t.Errorf("%s: got %+v", ruleLines(rules), d)
		}
	}
	if d := Decide([]*Rule{{Source: "web", Namespace: "default", Partition: "default", Allow: true}}, "web"); !d.Allowed {
		t.Errorf("got %+v", d)
	}
}

// TestWakes: a policy is woken by its own entry, the one for all destinations and the default, and by nothing else.
func TestWakes(t *testing.T) {
	s := nounstore.New()
	upsert(t, s, "web -> db allow", "web -> dbx allow")
	policy, other := Policy{"db"}, Policy{"other"}
	for _, c := range []struct {
		does string
		c    verb.Command
		want string // of the queries below
	}{
		{"its own entry", Upsert{read(t, "web -> db deny")}, "db match check list"},
		{"the same again", Upsert{read(t, "web -> db deny")}, ""},
		{"an entry of a like name", Upsert{read(t, "web -> dbx deny")}, "list"},
		{"a source of its name", Upsert{read(t, "db -> web deny")}, "list"},
		{"the entry for all", Upsert{read(t, "api -> * deny")}, "db other match check list"},
		{"the end of it", Delete{"api", "*"}, "db other match check list"},
		{"the first for another", Upsert{read(t, "x -> other deny")}, "other list"},
		{"the default", SetDefault{true, "because"}, "db other check"},
		{"the same default", SetDefault{true, "because"}, ""},
		{"nothing to delete", Delete{"nobody", "db"}, ""},
		{"the end of its own entry", Delete{"web", "db"}, "db match check list"},
	} {
		var got []string
		queries := []verb.Query{policy, other, Match{api.MatchDestination, "db"}, Check{"web", "db"}, List{}}
		for i, woken := range s.Wakes(t, c.c, queries...) {
			if woken {
				got = append(got, strings.Fields("db other match check list")[i])
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s wakes %q, want %q", c.does, got, c.want)
		}
	}
	tx := s.State.Write()
	tx.At(api.Tenant{}, s.Index+1)
	_, _, topics := s.Ask(t, policy)
	state.PutConfigEntry(tx, &api.ServiceDefaults{Kind: api.KindServiceDefaults, Name: "db", Protocol: "http"})
	state.PutKey(tx, api.KVPair{Key: "db"})
	for _, topic := range tx.Commit() {
		if slices.Contains(topics, topic) {
			t.Errorf("a policy is woken by %v", topic)
		}
	}
}

// naive decides without rules, order or precedence: of the intentions that match, none may be more particular, first in its
// destination and then in its source.
func naive(all []api.Intention, source, destination string, byDefault bool) bool {
	matches := func(x, against api.Intention) bool {
		return (x.SourceName == "*" || x.SourceName == against.SourceName) &&
			(x.DestinationName == "*" || x.DestinationName == against.DestinationName)
	}
	call := api.Intention{SourceName: source, DestinationName: destination}
	for _, x := range all {
		if !matches(x, call) {
			continue
		}
		beaten := slices.ContainsFunc(all, func(y api.Intention) bool {
			if !matches(y, call) {
				return false
			}
			if y.DestinationName != x.DestinationName {
				return x.DestinationName == "*"
			}
			return y.SourceName != x.SourceName && x.SourceName == "*"
		})
		if !beaten {
			return x.Action == "allow"
		}
	}
	return byDefault
}

// TestDecideAgainstNaive compares decisions with those of naive, on sets of intentions that were written in random order,
// changed and deleted, before and after a snapshot.
func TestDecideAgainstNaive(t *testing.T) {
	names := []string{"a", "b", "c", "ab", "*"}
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		pick := func() string { return names[random.IntN(len(names))] }
		s := nounstore.New()
		byDefault := random.IntN(2) == 0
		nounstore.Do[bool](t, s, SetDefault{byDefault, "chance"})
		have := map[[2]string]api.Intention{}
		for range 1 + random.IntN(12) {
			x := api.Intention{SourceName: pick(), DestinationName: pick(), Action: []string{"allow", "deny"}[random.IntN(2)]}
			pair := [2]string{x.SourceName, x.DestinationName}
			_, exists := have[pair]
			switch {
			case exists && random.IntN(2) == 0:
				nounstore.Do[bool](t, s, Delete{x.SourceName, x.DestinationName})
				delete(have, pair)
				continue
			case !exists && random.IntN(3) == 0:
				nounstore.Do[string](t, s, Create{x})
			default:
				nounstore.Do[bool](t, s, Upsert{x})
			}
			have[pair] = x
		}
		var all []api.Intention
		for _, x := range have {
			all = append(all, x)
		}
		if seed%10 == 0 {
			s = s.Reloaded(t)
		}
		for _, destination := range []string{"a", "b", "c", "ab", "none"} {
			rules := nounstore.Values[*Rule](t, s, Policy{destination})
			for _, source := range []string{"a", "b", "c", "ab", "none"} {
				want := naive(all, source, destination, byDefault)
				if d := Decide(rules, source); d.Allowed != want || d.Why == "" {
					t.Fatalf("seed %d: %s -> %s of %s: got %+v, want %v", seed, source, destination, text(all), d, want)
				}
				if d := nounstore.Values[*api.Decision](t, s, Check{source, destination})[0]; d.Allowed != want {
					t.Fatalf("seed %d: check %s -> %s: got %+v, want %v", seed, source, destination, d, want)
				}
			}
		}
	}
}

func text(all []api.Intention) string {
	var out []string
	for _, x := range all {
		out = append(out, fmt.Sprintf("%s -> %s %s", x.SourceName, x.DestinationName, x.Action))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
