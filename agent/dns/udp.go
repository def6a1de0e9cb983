package dns

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/telemetry"
)

// readers is how many goroutines read from one socket. What they do is short, except for going in and out of the kernel.
func readers() int { return min(2, runtime.GOMAXPROCS(0)) }

// chance is the runtime's random source, which is seeded and safe for all.
type chance struct{}

// Uint64 implements rand.Source.
func (chance) Uint64() uint64 { return rand.Uint64() }

// serveUDP answers what comes until the socket is closed.
func (s *Server) serveUDP(conn *net.UDPConn) error {
	var group sync.WaitGroup
	errs := make([]error, readers())
	for i := range errs {
		group.Go(func() {
			errs[i] = s.readUDP(conn)
			// The other reader goes too.
			_ = conn.Close()
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// datagram is where a reply goes, and from which of our addresses.
type datagram struct {
	conn *net.UDPConn
	to   netip.AddrPort
	oob  []byte
}

func (d *datagram) reply(b []byte) {
	// Who cannot be reached asks again, or does not.
	if d.oob == nil {
		_, _ = d.conn.WriteToUDPAddrPort(b, d.to)
		return
	}
	_, _, _ = d.conn.WriteMsgUDPAddrPort(b, d.oob, d.to)
}

// readUDP is the loop of one reader.
func (s *Server) readUDP(conn *net.UDPConn) error {
	source := newSource(conn)
	in := make([]byte, maxTCPSize)
	key := make([]byte, 0, maxName+2)
	w := newWriter(chance{})
	count := s.figures.loop()
	failures := 0
	var q question
	for {
		n, from, oob, err := source.read(in)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			// A datagram lost is no reason to stop; a socket that gives nothing else is.
			if failures++; failures > 100 {
				return err
			}
			continue
		}
		failures = 0
		began := telemetry.Now()
		d := datagram{conn, from, oob}
		if !q.read(in[:n]) {
			rcode, ok := q.readOdd(in[:n])
			if !ok {
				continue
			}
			if rcode != dns.RcodeSuccess {
				d.reply(w.write(&q, only(rcode), s.config.Load()))
				continue
			}
		}
		key = appendKey(key[:0], &q)
		p, err := s.quick(&q, key)
		if err == nil {
			d.reply(w.write(&q, p, s.config.Load()))
			count.of(q.qtype).ObserveSince(began)
			continue
		}
		// Recursors may be slow; that is no reason for the servers not to be asked.
		waiting, forward := s.asking, err == errForward
		if forward {
			waiting = s.recursors.forwarding
		}
		select {
		case waiting <- struct{}{}:
			// What the next datagram overwrites is copied; only here, so that nothing else is.
			later, key, packet, back := q, slices.Clone(key), slices.Clone(in[:n]), datagram{conn, from, slices.Clone(oob)}
			later.name = slices.Clone(q.name)
			s.work.Go(func() {
				defer func() { <-waiting }()
				s.answerLater(back, &later, key, packet, forward)
				s.figures.others.of(later.qtype).ObserveSince(began)
			})
		default:
			s.warn(errBusy)
			s.figures.failed.ObserveSince(began)
			d.reply(w.write(&q, only(dns.RcodeServerFailure), s.config.Load()))
		}
	}
}

// answerTimeout is longer than a query of the servers may take, of which a reverse lookup needs two.
const answerTimeout = 2 * queryTimeout

// answerLater answers what takes asking others.
func (s *Server) answerLater(d datagram, q *question, key, packet []byte, forwarding bool) {
	ctx, cancel := context.WithTimeout(s.ctx, answerTimeout)
	defer cancel()
	w := s.writers.Get().(*writer)
	defer s.writers.Put(w)
	d.reply(s.answer(ctx, w, q, key, packet, forwarding))
}

// answer is the reply to what takes asking others. Forwarding tells whether the question has its place among those that wait
// for a recursor.
func (s *Server) answer(ctx context.Context, w *writer, q *question, key, packet []byte, forwarding bool) []byte {
	c := s.config.Load()
	p, err := s.slow(ctx, c, q, key)
	if err == nil {
		return w.write(q, p, c)
	}
	if err == errForward {
		var reply []byte
		if reply, err = s.forward(ctx, c, q, packet, forwarding); err == nil {
			return reply
		}
	}
	s.warn(err)
	s.figures.failed.ObserveSince(telemetry.Now())
	return w.write(q, only(dns.RcodeServerFailure), c)
}
