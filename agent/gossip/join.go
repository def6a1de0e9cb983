package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/parleymesh/parley/api"
)

// JoinError tells for each address why nobody was joined there.
type JoinError struct{ Failures []JoinFailure }

// JoinFailure is one address, as it was given or found by name, and the reason.
type JoinFailure struct {
	Addr string
	Err  error
}

// Error lists the reasons in the words and lines of the public API.
func (e *JoinError) Error() string {
	var b strings.Builder
	if len(e.Failures) == 1 {
		b.WriteString("1 error occurred:\n")
	} else {
		fmt.Fprintf(&b, "%d errors occurred:\n", len(e.Failures))
	}
	for _, f := range e.Failures {
		fmt.Fprintf(&b, "\t* Failed to join %s: %s\n", f.Addr, f.Err)
	}
	return b.String() + "\n"
}

// Line is the error on one line, for a log.
func (e *JoinError) Line() string {
	parts := make([]string, len(e.Failures))
	for i, f := range e.Failures {
		parts[i] = f.Addr + ": " + f.Err.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap gives the reasons to errors.Is and errors.As.
func (e *JoinError) Unwrap() []error {
	errs := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		errs[i] = f.Err
	}
	return errs
}

// errCloud is what is said of addresses that are to be asked of a cloud.
var errCloud = errors.New("finding agents through a cloud's interface is not built in: give addresses or DNS names")

// target is where to find an agent.
type target struct {
	addr netip.AddrPort
	said string // what stands in messages
}

// Join joins the pool of each agent at the addresses: host, host:port or a DNS name. It tries all of them and tells how many
// answered, this agent itself too if it is among them. The error is a *JoinError if nobody did.
func (p *Pool) Join(ctx context.Context, addrs []string) (int, error) {
	r, err := p.join(ctx, addrs)
	if err != nil {
		return r.self + r.others, err
	}
	if r.self+r.others == 0 && len(r.failures) > 0 {
		return 0, &JoinError{r.failures}
	}
	p.sayFailures(p.log, r)
	return r.self + r.others, nil
}

// joined is what came of joining: how many addresses were this agent's own, and at how many another one answered.
type joined struct {
	self, others int
	failures     []JoinFailure
}

// join tries all addresses. The error is that of ctx.
func (p *Pool) join(ctx context.Context, addrs []string) (r joined, err error) {
	fail := func(addr string, err error) { r.failures = append(r.failures, JoinFailure{addr, err}) }
	for _, addr := range addrs {
		targets, err := p.targets(ctx, addr)
		if err != nil {
			fail(addr, err)
		}
		for _, t := range targets {
			if p.isSelf(t.addr) {
				r.self++
			} else if err := p.joinOne(ctx, t.addr); err != nil {
				fail(t.said, err)
			} else {
				r.others++
			}
		}
		if ctx.Err() != nil {
			return r, fmt.Errorf("join: %w", ctx.Err())
		}
	}
	p.refresh()
	return r, nil
}

// sayFailures tells of addresses that failed while others did not.
func (p *Pool) sayFailures(log *slog.Logger, r joined) {
	for _, f := range r.failures {
		log.Info("not joined at this address, but at others", "addr", f.Addr, "err", f.Err)
	}
}

// targets finds the addresses behind one that was given.
func (p *Pool) targets(ctx context.Context, addr string) ([]target, error) {
	if strings.Contains(addr, "provider=") {
		return nil, errCloud
	}
	host, port, err := splitAddr(addr, p.opts.kind.port)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		a := netip.AddrPortFrom(ip.Unmap(), port)
		return []target{{a, a.String()}}, nil
	}
	ips, err := p.opts.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up the name: %w", err)
	}
	out := make([]target, len(ips))
	for i, ip := range ips {
		a := netip.AddrPortFrom(ip.Unmap(), port)
		out[i] = target{a, fmt.Sprintf("%s (%s)", host, a)}
	}
	if len(out) == 0 {
		return nil, errors.New("the name has no address")
	}
	return out, nil
}

// splitAddr parts an address into host and port. An IPv6 address needs brackets only where a port follows.
func splitAddr(addr string, otherwise int) (host string, port uint16, err error) {
	addr = strings.TrimSpace(addr)
	if ip, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil {
		return ip.String(), uint16(otherwise), nil
	}
	if !strings.Contains(addr, ":") {
		addr = net.JoinHostPort(addr, strconv.Itoa(otherwise))
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil || host == "" || strings.ContainsAny(host, "/ \t\n") {
		return "", 0, errors.New("it is no address: want host or host:port")
	}
	n := number(text, 1<<16)
	if n == 0 {
		return "", 0, fmt.Errorf("%q is no port: want 1 to 65535", text)
	}
	return host, uint16(n), nil
}

// isSelf tells whether this agent listens at the address.
func (p *Pool) isSelf(a netip.AddrPort) bool {
	self, bind := p.transport.self, p.transport.bound
	if a == self || a == bind {
		return true
	}
	if !bind.Addr().IsValid() || !bind.Addr().IsUnspecified() || a.Port() != bind.Port() {
		return false
	}
	if a.Addr().IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(i net.Addr) bool {
		n, ok := i.(*net.IPNet)
		if !ok {
			return false
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		return ip.Unmap() == a.Addr()
	})
}

// joinOne joins at one address. When ctx ends it does not wait for the answer: that comes or fails within streamTimeout,
// or when the pool is closed.
func (p *Pool) joinOne(ctx context.Context, a netip.AddrPort) error {
	done, err := p.call()
	if err != nil {
		return err
	}
	if p.hasLeft() {
		done()
		return ErrLeft
	}
	result := make(chan error, 1)
	go func() {
		defer done()
		p.joining.Add(1)
		defer p.joining.Add(-1)
		// What was told before the join is of no interest to this agent.
		_, err := p.serf.Join([]string{a.String()}, true)
		p.refresh() // what is joined next is judged by who is there now
		result <- err
	}()
	select {
	case err := <-result:
		return p.opts.kind.reason(err, a)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What memberlist says of encryption.
const (
	signWrongKey   = "could decrypt the message"
	signDecrypt    = "Decrypt packet failed"
	signOnlyTheirs = "remote state is encrypted and encryption is not configured"
	signOnlyOurs   = "encryption is configured but remote state is not encrypted"
)

// reason makes of memberlist's error what an operator can act on.
func (k *kind) reason(err error, a netip.AddrPort) error {
	if err == nil {
		return nil
	}
	var many *multierror.Error
	if errors.As(err, &many) && len(many.Errors) == 1 {
		err = many.Errors[0]
	}
	text := strings.TrimPrefix(err.Error(), fmt.Sprintf("failed to join %s: ", a))
	if advice := k.advice(text); advice != "" {
		return fmt.Errorf("%s (%s)", advice, text)
	}
	return errors.New(text)
}

func (k *kind) advice(text string) string {
	switch {
	case strings.Contains(text, signOnlyTheirs):
		return "it encrypts gossip and this agent has no key: set encrypt (-encrypt) as there"
	case strings.Contains(text, signOnlyOurs):
		return "this agent encrypts gossip and that one does not: set encrypt (-encrypt) in both or in none"
	case strings.Contains(text, signWrongKey):
		return "its encryption key is another: set the same encrypt (-encrypt) in both"
	case strings.Contains(text, "received invalid msgType"), strings.Contains(text, "unexpected EOF"):
		return fmt.Sprintf("what answers there does not speak gossip: give the gossip port, %d unless %s is set", k.port, k.portKey)
	case text == "EOF", strings.Contains(text, "connection reset"), strings.Contains(text, "broken pipe"):
		return fmt.Sprintf("it hung up: either that is not the gossip port (%d unless %s is set), or it does not allow this host (%s)",
			k.port, k.portKey, k.cidrs)
	case strings.HasSuffix(text, "i/o timeout"):
		return "nobody answers: is the host up, and may TCP and UDP pass to that port?"
	}
	return ""
}

// firstWait is how soon a join is tried again for the first time. The waits double up to the interval: hosts that are started
// together find one another at once.
const firstWait = time.Second

// RetryJoin joins until another agent has answered, looking names up anew each time. It gives up after so many
// attempts at the interval, if that is not 0, and when ctx ends. A nil log is the pool's.
func (p *Pool) RetryJoin(ctx context.Context, addrs []string, interval time.Duration, attempts int, log *slog.Logger) error {
	if log == nil {
		log = p.log
	}
	if len(addrs) == 0 {
		return nil
	}
	if interval <= 0 {
		return errors.New("join: the interval between attempts is not positive")
	}
	wait := min(firstWait, interval)
	for attempt := 1; ; {
		r, err := p.join(ctx, addrs)
		failed := &JoinError{r.failures}
		switch {
		case err != nil:
			return err
		case errors.Is(failed, ErrClosed):
			return ErrClosed
		case errors.Is(failed, ErrLeft):
			return ErrLeft
		case r.others > 0:
			p.sayFailures(log, r)
			p.sayJoined(log, r.others)
			return p.reclaim(ctx, addrs)
		case len(r.failures) == 0 && r.self > 0:
			log.Info("the addresses to join are this agent's own: it waits for others to join it", "addrs", addrs)
			return nil
		}
		if attempts > 0 && attempt >= attempts {
			return fmt.Errorf("joined nobody in %d attempts, %s apart: %s", attempt, interval, failed.Line())
		}
		level := slog.LevelInfo
		if wait == interval {
			level = slog.LevelWarn
			attempt++
		}
		log.Log(ctx, level, "joined nobody yet, trying again", "next", wait, "err", failed.Line())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("join: %w", ctx.Err())
		}
		wait = min(2*wait, interval)
	}
}

// The others take an agent that has moved for the one before it until they have seen that this one has failed, and then wait for a
// word from it, which would come with the next exchange of everything, half a minute later.
const (
	reclaimEvery = time.Second
	reclaimTries = 60
)

// reclaim joins again for as long as the others know this agent under an address that it had before.
func (p *Pool) reclaim(ctx context.Context, addrs []string) error {
	for try := 0; try < reclaimTries && p.judge.moved.Swap(false); try++ {
		select {
		case <-time.After(reclaimEvery):
		case <-ctx.Done():
			return fmt.Errorf("join: %w", ctx.Err())
		}
		if _, err := p.join(ctx, addrs); err != nil {
			return err
		}
	}
	return nil
}

// sayJoined tells who is there, and what is missing.
func (p *Pool) sayJoined(log *slog.Logger, others int) {
	members, servers := 0, 0
	for _, m := range p.view.Load().members {
		if m.Status != api.MemberAlive {
			continue
		}
		members++
		if m.Server {
			servers++
		}
	}
	if servers == 0 && p.opts.kind.name == LAN {
		log.Warn("joined, but no member is a server: this agent can answer nothing until one joins, add a server's address to retry_join",
			"answered", others, "members", members)
		return
	}
	log.Info("joined", "answered", others, "members", members, "servers", servers)
}
