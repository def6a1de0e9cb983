package server

import (
	"testing"
	"testing/synctest"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

// TestIntentionDefaultIsTheLeaders: whoever is answered by a leader has its default, and who watches is told of what changes.
func TestIntentionDefaultIsTheLeaders(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		h := l.start(member("s0", "10.0.0.1:8300", 1), dir)
		policy, err := h.Watch(t.Context(), verb.Options{}, intention.Policy{Destination: "db"})
		if err != nil {
			t.Fatal(err)
		}
		defer policy.Close()
		rules := func() []*intention.Rule {
			t.Helper()
			a, err := policy.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return verb.Values[*intention.Rule](a)
		}
		if r := rules(); len(r) != 1 || !r[0].Default || r[0].Allow || r[0].Why != "no intention matches, and the default is to deny" {
			t.Errorf("at first: got %+v", r[0])
		}
		x := api.Intention{SourceName: "web", DestinationName: "db", Action: api.Allow}
		if _, err := h.Apply(t.Context(), verb.Options{}, intention.Upsert{Intention: x}); err != nil {
			t.Fatal(err)
		}
		if r := rules(); len(r) != 2 || r[0].ID != "intention:web->db" || !r[0].Allow {
			t.Errorf("after an intention: got %+v", r[0])
		}
		if _, err := h.Apply(t.Context(), verb.Options{}, intention.SetDefault{Allow: true, Why: "another configuration"}); err != nil {
			t.Fatal(err)
		}
		if r := rules(); len(r) != 2 || !r[1].Allow {
			t.Errorf("after another default: got %+v", r[1])
		}
		h.stop()

		h = l.start(member("s0", "10.0.0.1:8300", 1), dir)
		rows := mustQuery(t, h, intention.Policy{Destination: "db"})
		if r := verb.Values[*intention.Rule](verb.Answer{Rows: rows}); len(r) != 2 || r[1].Allow {
			t.Errorf("after a restart with the first configuration: got %+v", r)
		}
	})
}
