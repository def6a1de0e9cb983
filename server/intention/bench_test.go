package intention

import (
	"fmt"
	"testing"

	"github.com/parleymesh/parley/api"
)

// A destination with 100 sources, asked about the last of them and about one that only the default decides.
func BenchmarkDecide(b *testing.B) {
	e := &api.ServiceIntentions{Name: "db"}
	var rules []*Rule
	for n := range 100 {
		rules = append(rules, newRule(e, &api.SourceIntention{Name: fmt.Sprintf("caller-%d", n), Action: api.Allow, Precedence: 9}))
	}
	rules = append(rules, &Rule{Default: true, Why: "the default"})
	for _, source := range []string{"caller-99", "stranger"} {
		b.Run(source, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Decide(rules, source); d.Allowed != (source == "caller-99") {
					b.Fatal(d)
				}
			}
		})
	}
}
