package snapshot

import (
	"testing"

	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

// policy sets who may call web.
func (w *world) policy(allow bool, rules ...Rule) {
	var rows []any
	for _, r := range rules {
		rows = append(rows, &intention.Rule{ID: r.ID, Source: r.Source, Allow: r.Allow, HTTP: r.HTTP})
	}
	w.s.set(policyQuery("web"), append(rows, &intention.Rule{Default: true, Allow: allow, Why: "the default"})...)
}

func TestAPolicyIsReadAsAWholeOrNotAtAll(t *testing.T) {
	last := &verb.Row{Value: &intention.Rule{Default: true, Allow: true, Why: "because"}}
	http := &verb.Row{Value: &intention.Rule{ID: "1", Why: "by request", Source: "web", HTTP: true}}
	for name, bad := range map[string]verb.Answer{
		"no rows": {}, "no default": {Rows: []*verb.Row{http}}, "not the last": {Rows: []*verb.Row{last, http}},
		"filtered": {Rows: []*verb.Row{last}, Filtered: true},
	} {
		if got, err := readPolicy(bad); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	got, err := readPolicy(verb.Answer{Rows: []*verb.Row{http, last}})
	if err != nil {
		t.Fatal(err)
	}
	p := got.(Policy)
	if !p.DefaultAllow || p.DefaultWhy != "because" || len(p.Rules) != 1 || p.Rules[0].Allows() || !p.Rules[0].HTTP {
		t.Errorf("got %+v", p)
	}
}
