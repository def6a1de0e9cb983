package query_test

import (
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/coordinate"
	"github.com/parleymesh/parley/server/query"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// TestNear finds the instances on nodes in a row: a at 0, b at 3, c at 1 milliseconds; nobody knows where d is.
func TestNear(t *testing.T) {
	s := nounstore.New()
	for _, node := range []string{"d", "c", "b", "a"} {
		nounstore.Do[bool](t, s, register(node, node, api.Service{Service: "web"}, api.Passing))
	}
	nounstore.Do[string](t, s, create(api.PreparedQuery{Name: "q", Service: api.ServiceQuery{Service: "web", Near: "B"}}))
	execute := func(near string) string { return found(t, s, query.Execute{Query: "q", Near: near, Agent: "d"}) }
	if got := execute(""); got != "b a c d" {
		t.Errorf("while nobody knows where a node is: %s", got)
	}
	at := func(x float64) *api.Coordinate { return &api.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}} }
	move := coordinate.Update{Entries: []api.CoordinateEntry{{Node: "a", Coord: at(0)}, {Node: "b", Coord: at(0.003)}, {Node: "c", Coord: at(0.001)}}}
	if woken := s.Wakes(t, move, query.Execute{Query: "q"}); !woken[0] {
		t.Error("who keeps the answer keeps one that is not right any more")
	}
	for near, want := range map[string]string{"": "b c a d", "a": "a c b d", "_agent": "d a b c", "none": "a b c d"} {
		if got := execute(near); got != want {
			t.Errorf("near %q: %s, want %s", near, got, want)
		}
	}
}
