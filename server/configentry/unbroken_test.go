package configentry

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/chain"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// TestUnbroken: whatever is written and deleted in whatever order, one by one or several at once, every chain can be compiled after
// each step that was taken. So a proxy never hears of one that cannot.
func TestUnbroken(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		name := func() string { return names[r.IntN(len(names))] }
		protocol := func() string { return []string{"http", "http", "grpc", "tcp"}[r.IntN(4)] }
		subset := func() string { return []string{"", "", "v1", "v2"}[r.IntN(4)] }
		entry := func() string {
			switch r.IntN(8) {
			case 0:
				return fmt.Sprintf(`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":%q}}`, protocol())
			case 1, 2:
				return fmt.Sprintf(`{"Kind":"service-defaults","Name":%q,"Protocol":%q}`, name(), protocol())
			case 3:
				return fmt.Sprintf(`{"Kind":"service-router","Name":%q,"Routes":[{"Destination":{"Service":%q,"ServiceSubset":%q}}]}`, name(), name(), subset())
			case 4, 5:
				return fmt.Sprintf(`{"Kind":"service-splitter","Name":%q,"Splits":[{"Weight":50,"Service":%q,"ServiceSubset":%q},{"Weight":50,"ServiceSubset":%q}]}`,
					name(), name(), subset(), subset())
			case 6:
				return fmt.Sprintf(`{"Kind":"service-resolver","Name":%q,"Redirect":{"Service":%q,"ServiceSubset":%q}}`, name(), name(), subset())
			}
			return fmt.Sprintf(`{"Kind":"service-resolver","Name":%q,"Subsets":{"v1":{},%q:{}},"Failover":{"*":{"Service":%q,"ServiceSubset":%q}}}`,
				name(), []string{"v1", "v2"}[r.IntN(2)], name(), subset())
		}
		kinds := []string{"service-defaults", "service-router", "service-splitter", "service-resolver"}
		s, taken := nounstore.New(), 0
		for step := range 150 {
			var c verb.Command
			switch r.IntN(4) {
			case 0:
				c = Delete{Kind: kinds[r.IntN(len(kinds))], Name: name()}
			case 1:
				c = Batch{Changes: changes(t, entry(), entry(), kinds[r.IntN(len(kinds))]+"/"+name())}
			default:
				c = write(t, entry())
			}
			if _, topics, err := s.Apply(t, c); err != nil || len(topics) == 0 {
				continue
			}
			taken++
			tx := s.State.Read()
			tx.At(api.Tenant{}, 0)
			for _, n := range names {
				if _, err := chain.Compile(chain.Options{Service: n, Datacenter: "dc1"}, propose(tx)); err != nil {
					t.Fatalf("seed %d, step %d: after %s %+v: %v", seed, step, c.CommandType(), c, err)
				}
			}
		}
		if taken < 20 {
			t.Errorf("seed %d: only %d steps were taken", seed, taken)
		}
	}
}
