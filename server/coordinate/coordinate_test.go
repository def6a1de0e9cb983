package coordinate

import (
	"math"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(x float64) *api.Coordinate {
	return &api.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Error: 0.5, Adjustment: 0.001, Height: 0.0001}
}

func update(entries ...api.CoordinateEntry) Update { return Update{Entries: entries} }

func withNodes(t *testing.T) *nounstore.Store {
	t.Helper()
	s := nounstore.New()
	for _, n := range []string{"n1", "n2"} {
		nounstore.Do[bool](t, s, catalog.Register{Registration: api.Registration{Node: n, Address: "192.0.2.1"}})
	}
	return s
}

func TestUpdate(t *testing.T) {
	s := withNodes(t)
	nounstore.Do[any](t, s, update(api.CoordinateEntry{Node: "N2", Coord: at(1)}, api.CoordinateEntry{Node: "gone", Coord: at(2)}))
	all := nounstore.Values[*api.CoordinateEntry](t, s, List{})
	if len(all) != 1 || all[0].Node != "n2" || all[0].Coord.Vec[0] != 1 {
		t.Fatalf("%+v", all)
	}
	if one := nounstore.Values[*api.CoordinateEntry](t, s, Node{"n2"}); len(one) != 1 {
		t.Errorf("%+v", one)
	}
	if none := nounstore.Values[*api.CoordinateEntry](t, s, Node{"n1"}); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	nounstore.Same(t, s, s.Reloaded(t), List{}, Node{"n2"}, Node{"n1"})
}

func TestWakes(t *testing.T) {
	s := withNodes(t)
	queries := []verb.Query{List{}, Node{"n1"}, Node{"n2"}, catalog.Nodes{}}
	for _, c := range []struct {
		c    verb.Command
		want []bool
	}{
		{update(api.CoordinateEntry{Node: "n1", Coord: at(1)}), []bool{true, true, false, false}},
		{update(api.CoordinateEntry{Node: "n1", Coord: at(1)}), []bool{false, false, false, false}},
		{update(api.CoordinateEntry{Node: "other", Coord: at(1)}), []bool{false, false, false, false}},
		{catalog.Deregister{Deregistration: api.Deregistration{Node: "n1"}}, []bool{true, true, false, true}},
		{catalog.Deregister{Deregistration: api.Deregistration{Node: "n2"}}, []bool{false, false, false, true}},
	} {
		if got := s.Wakes(t, c.c, queries...); !slices.Equal(got, c.want) {
			t.Errorf("%+v wakes %v, want %v", c.c, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	nan := at(1)
	nan.Height = math.NaN()
	for _, c := range []struct {
		e    api.CoordinateEntry
		want string
	}{
		{api.CoordinateEntry{Coord: at(1)}, "Must provide node"},
		{api.CoordinateEntry{Node: "n"}, "is no coordinate"},
		{api.CoordinateEntry{Node: "n", Coord: &api.Coordinate{Vec: []float64{1}}}, "want 8"},
		{api.CoordinateEntry{Node: "n", Coord: nan}, "is no coordinate"},
		{api.CoordinateEntry{Node: "n", Coord: at(math.Inf(1))}, "is no coordinate"},
		{api.CoordinateEntry{Node: "n", Segment: "s", Coord: at(1)}, "no network segments"},
	} {
		if err := update(c.e).Validate(); api.StatusOf(err) != 400 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.e, err)
		}
	}
}

// Of what is told of a node, the last counts.
func TestGather(t *testing.T) {
	first := update(api.CoordinateEntry{Node: "b", Coord: at(1)}, api.CoordinateEntry{Node: "a", Coord: at(2)})
	later := update(api.CoordinateEntry{Node: "B", Coord: at(3)})
	got := first.Gather([]verb.Command{later, &Update{Entries: []api.CoordinateEntry{{Node: "c", Coord: at(4)}}}}).(Update)
	var all []float64
	for _, e := range got.Entries {
		all = append(all, e.Coord.Vec[0])
	}
	if slices.Sort(all); !slices.Equal(all, []float64{2, 3, 4}) {
		t.Errorf("%+v", got)
	}
}
