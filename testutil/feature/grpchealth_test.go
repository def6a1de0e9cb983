package feature

import (
	"context"
	"fmt"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestGRPCPortTellsItsHealth has an agent check its own gRPC port, as a load balancer would: all of it, the service for proxies,
// and one that is not there.
func TestGRPCPortTellsItsHealth(t *testing.T) {
	a := testutil.Dev(t)
	want := map[string]string{
		"": api.Passing, "/envoy.service.discovery.v3.AggregatedDiscoveryService": api.Passing, "/no.such.Service": api.Critical,
	}
	for service, status := range want {
		def := &api.CheckDefinition{Name: "check" + service, GRPC: a.GRPCAddr() + service, Interval: api.Duration(1e8)}
		if service != "" {
			def.Name = service
		}
		if err := a.API.Agent().RegisterCheck(t.Context(), def, nil); err != nil {
			t.Fatal(err)
		}
		testutil.Eventually(t, def.Name+" to be "+status, func(ctx context.Context) error {
			checks, _, err := a.API.Agent().Checks(ctx, nil)
			if c := checks[def.Name]; err != nil || c.Status != status || c.Output == "" {
				return fmt.Errorf("it is %s (%s), %v", c.Status, c.Output, err)
			}
			return nil
		})
	}
}
