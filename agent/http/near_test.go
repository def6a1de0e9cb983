package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestNear lists what is on nodes in a row: a at 0, b at 3, c at 1 milliseconds; nobody knows where d is.
func TestNear(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) {
		o.Node = "c"
	})
	for i, name := range []string{"a", "b", "c", "d"} {
		a.do("PUT", "/v1/catalog/register", fmt.Sprintf(`{"Node":%q,"Address":"192.0.2.%d","Service":{"Service":"web"},"Check":{"CheckID":"c","Status":"passing"}}`, name, i+1)).is(200, "true")
	}
	a.do("PUT", "/v1/catalog/register", `{"Node":"asking","Address":"127.0.0.1"}`).is(200, "true")
	for name, x := range map[string]string{"a": "0", "B": "0.003", "c": "0.001"} {
		a.do("PUT", "/v1/coordinate/update", fmt.Sprintf(`{"Node":%q,"Coord":{"Vec":[%s,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0}}`, name, x)).is(200, "")
	}
	testutil.Eventually(t, "coordinates", func(ctx context.Context) error {
		var all []api.CoordinateEntry
		if a.do("GET", "/v1/coordinate/nodes").is(200, "").json(&all); len(all) != 3 {
			return errors.New("not there yet")
		}
		return nil
	})
	for near, want := range map[string]string{
		"a":      "a c b d",
		"B":      "b c a d",
		"d":      "d a b c", // itself, and the others as they are
		"none":   "a b c d",
		"_agent": "c a b d",
		"_ip":    "a b c d", // it has told nobody where it is
	} {
		for _, path := range []string{"/v1/health/service/web", "/v1/catalog/service/web", "/v1/health/state/passing"} {
			if got := nodesOf(t, a.do("GET", path+"?near="+near)); got != want {
				t.Errorf("%s near %s: %q, want %q", path, near, got, want)
			}
		}
	}
	if got := nodesOf(t, a.do("GET", "/v1/catalog/nodes?near=_ip")); !strings.HasPrefix(got, "asking") {
		t.Errorf("near who asks: %q", got)
	}

	a.do("GET", "/v1/coordinate/node/b").is(200, `"Node":"b"`)
	a.do("GET", "/v1/coordinate/node/d").is(404, "")
	a.do("GET", "/v1/coordinate/node/").is(400, "Missing node name")
	a.do("GET", "/v1/coordinate/nodes?segment=x").is(200, "[]")
	a.do("GET", "/v1/coordinate/nodes?segment=").is(200, `"Node":"a"`)
	a.do("PUT", "/v1/coordinate/update", `{"Node":"a","Coord":{"Vec":[1]}}`).is(400, "no coordinate")
	a.do("PUT", "/v1/coordinate/update", `{"Node":"a"}`).is(400, "no coordinate")
	a.do("PUT", "/v1/coordinate/update", `{"Node":"secret","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`).is(403, "node:write")
	a.do("PUT", "/v1/coordinate/update", `{"Nod":"a"}`).is(400, "Nod")
	a.do("PUT", "/v1/coordinate/update?dc=dc9", `{"Node":"a","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`).is(500, "No path")

	var dcs []api.CoordinateDatacenter
	a.do("GET", "/v1/coordinate/datacenters").is(200, `"AreaID":"wan"`).json(&dcs)
	if len(dcs) != 2 || len(dcs[0].Coordinates) != 1 || dcs[0].Coordinates[0].Node != "node-1" || dcs[1].Coordinates == nil {
		t.Fatalf("datacenters %+v", dcs)
	}
}

// nodesOf lists the nodes that a list of nodes, instances or checks names.
func nodesOf(t *testing.T, got answer) string {
	t.Helper()
	var all []struct{ Node json.RawMessage }
	got.is(200, "").json(&all)
	var out []string
	for _, e := range all {
		var name string
		var node struct{ Node string }
		if json.Unmarshal(e.Node, &name) != nil {
			if err := json.Unmarshal(e.Node, &node); err != nil {
				t.Fatal(err)
			}
			name = node.Node
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}
