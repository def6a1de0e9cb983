package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// options is what can be varied.
type options struct {
	parley, envoy string
	servers       int
	once          bool
}

// check looks for what the demonstration needs, so that nothing strange is shown when somebody else holds a port.
func (o options) check() error {
	if o.envoy != "" {
		if _, err := exec.LookPath(o.envoy); err != nil {
			return fmt.Errorf("ENVOY=%s: %w; make envoy installs one below .tools", o.envoy, err)
		}
	}
	ports := []int{8300, 8301, 8500, 8502, 8600, 18080, 15432, 15433, 21000, 21001}
	for i := 1; o.servers == 3 && i <= 3; i++ {
		ports = append(ports, lan(i), lan(i)+1, lan(i)+2)
	}
	for _, port := range ports {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return fmt.Errorf("port %d is needed, and another process has it: %w", port, err)
		}
		_ = l.Close()
	}
	return nil
}

// show is the demonstration.
func show(ctx context.Context, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	s := &stage{options: o}
	if s.dir, err = os.MkdirTemp("", "parley-demo-"); err != nil {
		return err
	}
	defer s.clear()
	config, err := api.ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	client, err := api.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	steps := []func(context.Context, *api.Client) error{
		s.agents, s.services, s.sidecars, s.lookUp, s.health, s.refused, s.allow, s.identity,
	}
	if o.servers == 3 {
		steps = append(steps, s.killLeader)
	}
	for _, step := range steps {
		if err := step(ctx, client); err != nil {
			return err
		}
	}
	s.next()
	if !o.once {
		<-ctx.Done()
	}
	title("Stopping everything and removing " + s.dir)
	return nil
}

var number int

func title(text string) {
	number++
	fmt.Printf("\n%d. %s\n", number, text)
}

// agents starts a development agent, or three servers and a client agent.
func (s *stage) agents(ctx context.Context, c *api.Client) error {
	if s.options.servers == 1 {
		title("A development agent: one server in memory, on loopback")
		fmt.Println("  $ parley agent -dev")
		if _, err := s.start("agent", s.options.parley, "agent", "-dev", "-log-level=info"); err != nil {
			return err
		}
		return s.until(ctx, "wait for a leader", leader(c))
	}
	title("Three servers that replicate through Raft, and a client agent")
	for i := 1; i <= 3; i++ {
		if err := s.server(i); err != nil {
			return err
		}
	}
	args := []string{"agent", "-node=host-1", "-bind=127.0.0.1", "-data-dir=" + filepath.Join(s.dir, "host-1"),
		"-retry-join=127.0.0.1:" + strconv.Itoa(lan(1)), "-retry-interval=200ms", "-grpc-port=8502"}
	fmt.Println("  $ parley " + strings.Join(args, " "))
	if _, err := s.start("host-1", s.options.parley, args...); err != nil {
		return err
	}
	if err := s.until(ctx, "wait for a leader", leader(c)); err != nil {
		return err
	}
	return s.parley(ctx, "operator", "raft", "list-peers")
}

// Ports of the i-th server: all of them live on one address here.
func lan(i int) int { return 9300 + 10*i }

func (s *stage) server(i int) error {
	args := []string{"agent", "-server", "-bootstrap-expect=3", "-node=server-" + strconv.Itoa(i), "-bind=127.0.0.1",
		"-data-dir=" + filepath.Join(s.dir, "server-"+strconv.Itoa(i)), "-retry-interval=200ms",
		"-serf-lan-port=" + strconv.Itoa(lan(i)), "-server-port=" + strconv.Itoa(lan(i)+1), "-http-port=" + strconv.Itoa(lan(i)+2),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1"}
	for j := 1; j <= 3; j++ {
		if j != i {
			args = append(args, "-retry-join=127.0.0.1:"+strconv.Itoa(lan(j)))
		}
	}
	fmt.Printf("  $ parley agent -server -bootstrap-expect=3 -node=server-%d -retry-join=... (and ports of its own)\n", i)
	_, err := s.start("server-"+strconv.Itoa(i), s.options.parley, args...)
	return err
}

func leader(c *api.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		addr, err := c.Status().Leader(ctx, nil)
		if err == nil && addr == "" {
			err = fmt.Errorf("no leader yet")
		}
		return err
	}
}

const (
	webDefinition = `service {
  name = "web"
  port = 18080
  check { http = "http://127.0.0.1:18080/health", interval = "1s" }
  connect { sidecar_service {
    proxy { upstreams = [{ destination_name = "db", local_bind_port = 15433 }] }
  } }
}
`
	dbDefinition = `service {
  name = "db"
  port = 15432
  tags = ["primary"]
  check { http = "http://127.0.0.1:15432/health", interval = "1s" }
  connect { sidecar_service {} }
}
`
)

// services starts web and db, and registers them from files.
func (s *stage) services(ctx context.Context, _ *api.Client) error {
	title("Two services, db and web; web calls db through its sidecar, at " + webToDB)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, d := range []struct{ name, addr, text string }{{"db", dbAddr, dbDefinition}, {"web", webAddr, webDefinition}} {
		if _, err := s.start(d.name, self, "serve", d.name, d.addr); err != nil {
			return err
		}
		file := filepath.Join(s.dir, d.name+".hcl")
		if err := os.WriteFile(file, []byte(d.text), 0o600); err != nil {
			return err
		}
		if d.name == "web" {
			printIndented(d.text)
		}
		if err := s.parley(ctx, "services", "register", file); err != nil {
			return err
		}
	}
	return nil
}

// sidecars starts a proxy beside each of the services.
func (s *stage) sidecars(ctx context.Context, _ *api.Client) error {
	title("A sidecar for each")
	for i, name := range []string{"db", "web"} {
		args := []string{"connect", "proxy", "-sidecar-for", name}
		if s.options.envoy != "" {
			args = []string{"connect", "envoy", "-sidecar-for", name, "-envoy-binary", s.options.envoy,
				"-admin-bind", "127.0.0.1:" + strconv.Itoa(19000+i), "--", "-l", "warning"}
		}
		fmt.Println("  $ parley " + strings.Join(args, " "))
		if _, err := s.start(name+"-sidecar", s.options.parley, args...); err != nil {
			return err
		}
	}
	return s.until(ctx, "wait for the sidecars", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", webToDB)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// lookUp asks DNS, as dig would.
func (s *stage) lookUp(ctx context.Context, _ *api.Client) error {
	title("DNS finds healthy instances only")
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:8600")
	}}
	return s.until(ctx, "look up db", func(ctx context.Context) error {
		addrs, err := r.LookupNetIP(ctx, "ip4", "db.service.consul.")
		if err != nil {
			return err
		}
		_, srv, err := r.LookupSRV(ctx, "", "", "primary.db.service.consul.")
		if err != nil {
			return err
		}
		fmt.Printf("  $ dig @127.0.0.1 -p 8600 db.service.consul +short\n    %s\n", addrs[0])
		fmt.Println("  $ dig @127.0.0.1 -p 8600 primary.db.service.consul SRV +short")
		for _, a := range srv {
			fmt.Printf("    %d %d %d %s\n", a.Priority, a.Weight, a.Port, a.Target)
		}
		return nil
	})
}

// health waits until both services and their sidecars are well.
func (s *stage) health(ctx context.Context, c *api.Client) error {
	title("Health, of the services and of their sidecars")
	for _, name := range []string{"db", "db-sidecar-proxy", "web", "web-sidecar-proxy"} {
		var entries []api.ServiceEntry
		err := s.until(ctx, "wait for "+name, func(ctx context.Context) (err error) {
			entries, _, err = c.Health().Service(ctx, name, nil, true, nil)
			if err == nil && len(entries) == 0 {
				err = fmt.Errorf("%s is not passing yet", name)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, check := range entries[0].Checks {
			fmt.Printf("    %-18s %-28s %s\n", name, check.Name, check.Status)
		}
	}
	return nil
}

// refused shows that nobody may call without an intention.
func (s *stage) refused(ctx context.Context, _ *api.Client) error {
	title("web calls db: refused, since no intention allows it")
	fmt.Println("  $ curl http://" + webAddr + "/")
	body, err := get(ctx, "http://"+webAddr+"/")
	if err == nil {
		return fmt.Errorf("web reached db without an intention: %s", body)
	}
	printIndented(err.Error())
	if s.options.envoy == "" {
		fmt.Println("  db's sidecar says why:")
		err := s.until(ctx, "find the refusal in the log of db's sidecar", func(ctx context.Context) error {
			_, _ = get(ctx, "http://"+webAddr+"/") // the first call may have come before web's sidecar knew that db is well
			line := grep(filepath.Join(s.dir, "db-sidecar.log"), "connection denied")
			if line == "" {
				return errors.New("it is not there")
			}
			printIndented(line)
			return nil
		})
		if err != nil {
			return err
		}
	}
	_ = s.parley(ctx, "intention", "check", "web", "db") // which exits with 1: denied
	return nil
}

// grep returns the first line of a file that holds the text.
func grep(file, text string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// allow makes the intention, and the same call again.
func (s *stage) allow(ctx context.Context, _ *api.Client) error {
	title("An intention allows it, and the same call succeeds, over mTLS")
	if err := s.parley(ctx, "intention", "create", "-allow", "web", "db"); err != nil {
		return err
	}
	began := time.Now()
	var body string
	err := s.until(ctx, "call db", func(ctx context.Context) (err error) {
		body, err = get(ctx, "http://"+webAddr+"/")
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("  $ curl http://" + webAddr + "/")
	printIndented(body)
	fmt.Printf("    (%d ms after the intention)\n", time.Since(began).Milliseconds())
	return nil
}

// identity shows whom db's sidecar proves to be.
func (s *stage) identity(ctx context.Context, c *api.Client) error {
	title("Who answered: db's sidecar proves it by the SPIFFE id of its certificate")
	leaf, _, err := c.Agent().Leaf(ctx, "web", nil)
	if err != nil {
		return err
	}
	roots, _, err := c.Agent().Roots(ctx, nil)
	if err != nil {
		return err
	}
	sidecar, _, err := c.Agent().Service(ctx, "db-sidecar-proxy", nil)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, r := range roots.Roots {
		pool.AppendCertsFromPEM([]byte(r.RootCert))
	}
	dialer := tls.Dialer{Config: &tls.Config{
		Certificates: []tls.Certificate{cert},
		// A mesh certificate names no host: its chain and its URI are what counts.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool})
			return err
		},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(sidecar.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	fmt.Printf("    caller  %s\n    callee  %s\n    valid until %s\n", leaf.ServiceURI, got.URIs[0], got.NotAfter.Format(time.RFC3339))
	return nil
}

// killLeader takes the leader away without a word.
func (s *stage) killLeader(ctx context.Context, c *api.Client) error {
	title("kill -9 of the leader: the mesh does not notice, and writes go on")
	raft, _, err := c.Operator().RaftConfiguration(ctx, nil)
	if err != nil {
		return err
	}
	for _, server := range raft.Servers {
		if !server.Leader {
			continue
		}
		for _, p := range s.running {
			if p.name == server.Node {
				fmt.Printf("  $ kill -9 %d   # %s\n", p.cmd.Process.Pid, p.name)
				p.kill()
				s.forget(p)
			}
		}
	}
	began := time.Now()
	body, err := get(ctx, "http://"+webAddr+"/")
	if err != nil {
		return fmt.Errorf("the call after the leader was killed: %w", err)
	}
	fmt.Printf("    the next call, %d ms later: %s", time.Since(began).Milliseconds(), body)
	if err := s.parley(ctx, "kv", "put", "demo/leader", "killed"); err != nil {
		return err
	}
	fmt.Printf("    (the next write was done %d ms after the kill)\n", time.Since(began).Milliseconds())
	return s.parley(ctx, "operator", "raft", "list-peers")
}

func (s *stage) forget(gone *process) {
	for i, p := range s.running {
		if p == gone {
			s.running = append(s.running[:i], s.running[i+1:]...)
			return
		}
	}
}

// next says what to try.
func (s *stage) next() {
	title("Your turn, in another terminal")
	for _, line := range []string{
		"parley catalog services", "parley members", "parley intention list", "parley intention delete web db   # and call again",
		"curl http://" + webAddr + "/", "curl http://127.0.0.1:8500/v1/health/service/db?pretty",
		"dig @127.0.0.1 -p 8600 db.service.consul SRV",
	} {
		fmt.Println("  $ " + line)
	}
	if !s.options.once {
		fmt.Println("\nEverything stays up until you press Ctrl-C, and is removed then.")
	}
}
