package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/tlsconfig"
	"github.com/parleymesh/parley/proxy/xds"
	"github.com/parleymesh/parley/server/quietlog"
)

// endpoints is the TLS of each protocol.
type endpoints struct {
	rpc, https, grpc *tlsconfig.Endpoint
	serverName       string // that servers' certificates bear
}

// dialServers returns how servers are dialled; nil in the clear.
func (e endpoints) dialServers() *tls.Config { return e.rpc.Dial(e.serverName, "h2") }

// dialServersOf returns how the servers of another datacenter are dialled.
func (e endpoints) dialServersOf(datacenter, domain string) func() *tls.Config {
	return func() *tls.Config { return e.rpc.Dial(serverName(datacenter, domain), "h2") }
}

// serverName is what the certificates of a datacenter's servers are for.
func serverName(datacenter, domain string) string { return "server." + datacenter + "." + domain }

func (a *Agent) openTLS() error {
	t := a.cfg.TLS
	var errs []error
	open := func(name string, o tlsconfig.Options) *tlsconfig.Endpoint {
		e, err := tlsconfig.Open(o)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.%s: %w", name, err))
		}
		return e
	}
	a.tls = endpoints{
		rpc: open("internal_rpc", t.InternalRPC), https: open("https", t.HTTPS), grpc: open("grpc", t.GRPC),
		serverName: serverName(a.cfg.Datacenter, a.cfg.Domain),
	}
	return errors.Join(errs...)
}

// listeners are all opened before anything is started, so that a port in use stops the agent before the others hear of it.
type listeners struct {
	rpc            net.Listener // nil on a client agent
	http           []net.Listener
	grpc, grpcTLS  []net.Listener
	dnsTCP         []net.Listener
	dnsUDP         []net.PacketConn
	httpN, grpcN   int // ports, as they came to be; -1 when closed
	httpsN, tlsN   int
	dnsN, serfLANN int
}

func (a *Agent) openListeners() (err error) {
	l, addrs := &a.listen, a.cfg.Addrs
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
			return
		}
		// Whoever serves a listener closes it; this is for one that nobody came to serve.
		a.undo.push("listeners", closing(l.close))
	}()
	if a.cfg.Server {
		addr := netip.AddrPortFrom(addrs.Bind, uint16(a.cfg.Ports.Server))
		if l.rpc, err = listen("ports.server", net.TCPAddrFromAddrPort(addr)); err != nil {
			return err
		}
	}
	for _, addr := range addrs.DNS {
		if err := l.openDNS(addr); err != nil {
			return err
		}
	}
	if l.http, err = listenAll("ports.http", addrs.HTTP); err != nil {
		return err
	}
	https, err := listenAll("ports.https", addrs.HTTPS)
	if err != nil {
		return err
	}
	l.httpN, l.httpsN = port(l.http), port(https)
	refused := quietlog.New(a.log.With("component", "http"))
	for _, in := range https {
		l.http = append(l.http, tlsconfig.NewListener(tlsconfig.ListenerOptions{
			Listener: in, TLS: a.tls.https.Listen("http/1.1"), Timeout: cmp.Or(a.cfg.Limits.HTTPSHandshakeTimeout, time.Minute),
			Refused: func(from net.Addr, err error) {
				source := from.String()
				if host, _, err := net.SplitHostPort(source); err == nil {
					source = host
				}
				refused.Say(slog.LevelWarn, quietlog.Key{Subject: source}, "HTTPS connection closed", "source", source, "err", err)
			},
		}))
	}
	if l.grpc, err = listenAll("ports.grpc", addrs.GRPC); err != nil {
		return err
	}
	// Without a certificate there is nothing to serve over TLS: servers have the port by default.
	if a.tls.grpc.Listen("h2") != nil {
		if l.grpcTLS, err = listenAll("ports.grpc_tls", addrs.GRPCTLS); err != nil {
			return err
		}
	}
	if err = giveSockets(a.cfg.UnixSockets, addrs.HTTP, addrs.HTTPS, addrs.GRPC, addrs.GRPCTLS); err != nil {
		return err
	}
	l.grpcN, l.tlsN, l.dnsN = port(l.grpc), port(l.grpcTLS), port(l.dnsTCP)
	return nil
}

// openDNS binds TCP first and exclusively: a UDP port that somebody else shares would hide that it is taken.
func (l *listeners) openDNS(addr net.Addr) error {
	in, err := listen("ports.dns", addr)
	if err != nil {
		return err
	}
	l.dnsTCP = append(l.dnsTCP, in)
	udp, err := net.ListenPacket("udp", in.Addr().String())
	if err != nil {
		return listenError("ports.dns", in.Addr(), err)
	}
	l.dnsUDP = append(l.dnsUDP, udp)
	return nil
}

func listenAll(key string, addrs []net.Addr) ([]net.Listener, error) {
	var out []net.Listener
	for _, addr := range addrs {
		l, err := listen(key, addr)
		if err != nil {
			for _, opened := range out {
				_ = opened.Close()
			}
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func listen(key string, addr net.Addr) (net.Listener, error) {
	if addr.Network() == "unix" {
		// A socket that a killed agent left behind refuses connections.
		if conn, err := net.Dial("unix", addr.String()); err == nil {
			_ = conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(addr.String())
		}
	}
	l, err := net.Listen(addr.Network(), addr.String())
	if err != nil {
		return nil, listenError(key, addr, err)
	}
	return l, nil
}

// giveSockets gives the sockets in the file system to whom unix_sockets says.
func giveSockets(u config.UnixSockets, addrs ...[]net.Addr) error {
	for _, addr := range slices.Concat(addrs...) {
		if addr.Network() != "unix" {
			continue
		}
		if err := giveSocket(u, addr.String()); err != nil {
			return fmt.Errorf("unix_sockets: %w", err)
		}
	}
	return nil
}

func giveSocket(u config.UnixSockets, path string) error {
	if u.Mode != "" {
		mode, err := strconv.ParseUint(u.Mode, 8, 9)
		if err != nil {
			return fmt.Errorf("mode %q is none, such as 0660", u.Mode)
		}
		if err := os.Chmod(path, os.FileMode(mode)); err != nil {
			return err
		}
	}
	uid, gid := -1, -1
	if u.User != "" {
		found, err := user.Lookup(u.User)
		if err != nil {
			found, err = user.LookupId(u.User)
		}
		if err != nil {
			return err
		}
		uid, _ = strconv.Atoi(found.Uid)
	}
	if u.Group != "" {
		found, err := user.LookupGroup(u.Group)
		if err != nil {
			found, err = user.LookupGroupId(u.Group)
		}
		if err != nil {
			return err
		}
		gid, _ = strconv.Atoi(found.Gid)
	}
	return os.Chown(path, uid, gid)
}

func listenError(key string, addr net.Addr, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another process, perhaps another agent: stop that one, or set %s to another port", addr, key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this host: correct bind_addr or client_addr", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on %s: set %s to a port above 1023, or give the process CAP_NET_BIND_SERVICE", addr, key)
	}
	return fmt.Errorf("listen on %s (%s): %w", addr, key, err)
}

// port returns the port of the first listener that has one, else -1.
func port(in []net.Listener) int {
	for _, l := range in {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			return addr.Port
		}
	}
	return -1
}

func (l *listeners) close() error {
	all := append(append(append([]net.Listener{}, l.http...), l.grpc...), append(l.grpcTLS, l.dnsTCP...)...)
	if l.rpc != nil {
		all = append(all, l.rpc)
	}
	var errs []error
	closed := func(err error) {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, in := range all {
		closed(in.Close())
	}
	for _, in := range l.dnsUDP {
		closed(in.Close())
	}
	return errors.Join(errs...)
}

// rpcAdvertise is where the other servers reach this one.
func (a *Agent) rpcAdvertise() net.Addr {
	return &net.TCPAddr{IP: a.cfg.Addrs.Advertise.AsSlice(), Port: a.rpcPort()}
}

// rpcPort is the port of the servers' listener; 0 on a client agent.
func (a *Agent) rpcPort() int {
	if a.listen.rpc == nil {
		return 0
	}
	return a.listen.rpc.Addr().(*net.TCPAddr).Port
}

// serveXDS serves proxies, in the clear and over TLS, and tells load balancers and checks that it does.
func (a *Agent) serveXDS(delivery *xds.Server) {
	const handshake = 10 * time.Second // who says nothing for so long is no proxy
	serve := func(in []net.Listener, o ...grpc.ServerOption) {
		if len(in) == 0 {
			return
		}
		p := a.cfg.Performance
		s := grpc.NewServer(append(o, grpc.ConnectionTimeout(handshake),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: p.GRPCKeepaliveInterval, Timeout: p.GRPCKeepaliveTimeout}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		)...)
		delivery.Register(s)
		state := health.NewServer()
		state.SetServingStatus(discovery.AggregatedDiscoveryService_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
		grpc_health_v1.RegisterHealthServer(s, state)
		for _, l := range in {
			a.serve("xDS", func() error { return serveUntilStopped(s, l) })
		}
		a.undo.push("xDS listeners", func(context.Context) error { s.Stop(); return nil })
	}
	serve(a.listen.grpc)
	if len(a.listen.grpcTLS) > 0 {
		serve(a.listen.grpcTLS, grpc.Creds(credentials.NewTLS(a.tls.grpc.Listen("h2"))))
	}
}

func serveUntilStopped(s *grpc.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}
