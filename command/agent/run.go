package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/parleymesh/parley/agent/config"
)

// stopTime bounds an orderly stop; what has not ended then is left to the end of the process.
const stopTime = 15 * time.Second

// leaveTime bounds an orderly leave.
const leaveTime = 20 * time.Second

// Run starts an agent, keeps it until a signal, its API or a failure ends it, and returns the exit status. The banner and the
// log go to stdout; why it could not start goes to stderr.
func Run(ctx context.Context, s config.Sources, b Build, stdout, stderr io.Writer) int {
	cfg, warnings, err := config.Load(s)
	if err != nil {
		return complain(stderr, err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	logs, err := openLogs(stdout, cfg)
	if err != nil {
		return complain(stderr, err)
	}
	defer logs.Close()
	for _, w := range warnings {
		logs.logger().Warn(w.String(), "component", "config")
	}
	for _, err := range cfg.Refused {
		logs.logger().Error("a file of services and checks is refused and left out; correct it and reload", "component", "config", "err", err)
	}
	if err := writePid(cfg.PidFile); err != nil {
		return complain(stderr, err)
	}
	defer removePid(cfg.PidFile)

	stamp := func() string { return cfg.Stamp(s.Settings) }
	a, err := New(ctx, Options{Config: cfg, Build: b, logs: logs, Stamp: stamp, Reload: func() (*config.Config, error) {
		next, warnings, err := config.Load(s)
		for _, w := range warnings {
			logs.logger().Warn(w.String(), "component", "config")
		}
		if err == nil { // what runs already is better than nothing in its place
			err = errors.Join(next.Refused...)
		}
		return next, err
	}})
	if err != nil {
		return complain(stderr, err)
	}
	if !cfg.LogJSON {
		_, _ = io.WriteString(stdout, a.banner())
	}
	manager := supervisor{a.log}
	manager.ready(a.serverText())
	return a.wait(ctx, signals, manager, stderr)
}

func complain(stderr io.Writer, err error) int {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "Error: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return 1
}

// wait stays until something ends the agent, and stops it.
func (a *Agent) wait(ctx context.Context, signals <-chan os.Signal, manager supervisor, stderr io.Writer) int {
	var beat <-chan time.Time
	if every := manager.heartbeat(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		beat = ticker.C
	}
	leave := false
	for {
		select {
		case <-beat:
			manager.alive()
			continue
		case s := <-signals:
			if s == syscall.SIGHUP {
				manager.reloading()
				a.reloadOrTell()
				manager.ready(a.serverText())
				continue
			}
			leave = s == syscall.SIGTERM && a.cfg.LeavesOnTerminate() || s == os.Interrupt && a.cfg.LeavesOnInterrupt()
			a.log.Info("stopping", "signal", s.String(), "leaves_the_pool", leave)
		case <-a.leaving:
			a.log.Info("stopping, as asked through the API")
		case err := <-a.failed:
			a.log.Error("stopping", "err", err)
			_ = a.stop(false)
			return complain(stderr, err)
		case <-ctx.Done():
		}
		break
	}
	manager.stopping()
	if err := a.stop(leave); err != nil {
		return complain(stderr, err)
	}
	a.log.Info("stopped")
	return 0
}

// stop ends the agent within bounds of time. A second signal ends the process as it does any other.
func (a *Agent) stop(leave bool) error {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if leave {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		if err := a.Leave(ctx); err != nil {
			a.log.Warn("not left in good order", "err", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	return a.Stop(ctx)
}

func writePid(file string) error {
	if file == "" {
		return nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("pid_file: %w", err)
	}
	return nil
}

func removePid(file string) {
	if file != "" {
		_ = os.Remove(file)
	}
}

// banner says who this agent is and where it is reached.
func (a *Agent) banner() string {
	c, l := a.cfg, a.listen
	lines := [][2]string{
		{"Version", "parley " + a.opts.Build.Version},
		{"Node name", c.NodeName},
		{"Node id", a.nodeID},
		{"Datacenter", c.Datacenter},
		{"Server", a.serverText()},
		{"Client address", fmt.Sprintf("%s (HTTP %s, HTTPS %s, gRPC %s, gRPC-TLS %s, DNS %s)", c.ClientAddr,
			socketOr(c.Addrs.HTTP, l.httpN), socketOr(c.Addrs.HTTPS, l.httpsN), portText(l.grpcN), portText(l.tlsN), portText(l.dnsN))},
		{"Cluster address", fmt.Sprintf("%s (LAN %d, WAN %s, RPC %s)", c.Addrs.Advertise, l.serfLANN, portText(cmp.Or(a.wanPort(), config.Closed)), portText(cmp.Or(a.rpcPort(), config.Closed)))},
		{"Encryption", fmt.Sprintf("gossip: %t, RPC verifies: %t", c.Encrypt != "", c.TLS.InternalRPC.VerifyOutgoing)},
	}
	if c.Server {
		lines = append(lines, [2]string{"Intentions", c.Intentions.String()})
	}
	var b strings.Builder
	b.WriteString("==> Parley agent running\n")
	for _, line := range lines {
		fmt.Fprintf(&b, "%17s: %s\n", line[0], line[1])
	}
	return b.String()
}

func (a *Agent) serverText() string {
	switch c := a.cfg; {
	case !c.Server:
		return "false: a client of the servers that its pool knows"
	case c.Bootstrap:
		return "true, alone"
	case c.BootstrapExpect > 0:
		return fmt.Sprintf("true, one of %d that found a cluster", c.BootstrapExpect)
	}
	return "true, in a cluster that exists"
}

// socketOr is a port, or the path of a socket where there is one in its place.
func socketOr(addrs []net.Addr, port int) string {
	for _, a := range addrs {
		if u, ok := a.(*net.UnixAddr); ok && port < 0 {
			return u.Name
		}
	}
	return portText(port)
}

func portText(port int) string {
	if port < 0 {
		return "closed"
	}
	return strconv.Itoa(port)
}
