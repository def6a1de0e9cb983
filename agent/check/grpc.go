package check

import (
	"context"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/parleymesh/parley/api"
)

// grpcProbe asks gRPC's own health service (grpc.health.v1), for the server as a whole or for one of its services.
type grpcProbe struct {
	target  string // host:port
	service string // empty: the whole server
	options []grpc.DialOption
}

// splitGRPC takes host:port/service apart.
func splitGRPC(target string) (address, service string) {
	address, service, _ = strings.Cut(target, "/")
	return address, service
}

func newGRPCProbe(def *api.CheckDefinition, o Options) *grpcProbe {
	p := &grpcProbe{}
	p.target, p.service = splitGRPC(def.GRPC)
	creds := insecure.NewCredentials()
	if def.GRPCUseTLS {
		creds = credentials.NewTLS(o.tlsConfig(def, hostOf(p.target)))
	}
	p.options = []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return o.Dial(ctx, "tcp", address)
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithUserAgent("Parley Health Check"),
	}
	return p
}

func (p *grpcProbe) Run(ctx context.Context) (status, output string) {
	// passthrough: the dialer resolves the name, as for every other kind.
	conn, err := grpc.NewClient("passthrough:///"+p.target, p.options...)
	if err != nil {
		return api.Critical, fmt.Sprintf("gRPC check %s: %s", p.shown(), err)
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.service})
	if err != nil {
		return api.Critical, fmt.Sprintf("gRPC check %s: %s", p.shown(), err)
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return api.Critical, fmt.Sprintf("gRPC check %s: the service answers %s", p.shown(), resp.GetStatus())
	}
	return api.Passing, fmt.Sprintf("gRPC check %s: success", p.shown())
}

func (p *grpcProbe) shown() string {
	if p.service == "" {
		return p.target
	}
	return p.target + "/" + p.service
}
