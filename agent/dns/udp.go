package dns

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/telemetry"
)

// readers is how many goroutines read from one socket. One keeps up with all that two cores can ask, and finds more questions waiting at a
// time than each of two would: going in and out of the kernel is what costs.
func readers() int { return min(4, 1+runtime.GOMAXPROCS(0)/8) }

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
	to   net.Addr
	oob  []byte
}

func (d *datagram) reply(b []byte) {
	// Who cannot be reached asks again, or does not.
	_, _, _ = d.conn.WriteMsgUDP(b, d.oob, d.to.(*net.UDPAddr))
}

// readUDP is the loop of one reader: it takes as many questions as there are, up to a few, and answers them together. Going in and out of
// the kernel costs more than all the rest.
func (s *Server) readUDP(conn *net.UDPConn) error {
	source := newSource(conn)
	r := &udpReader{Server: s, key: make([]byte, 0, maxName+2), w: newWriter(chance{}), count: s.figures.loop()}
	failures := 0
	for {
		questions, err := source.read()
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
		for i := range questions {
			m := &questions[i]
			back := datagram{conn, m.Addr, source.backTo(m)}
			if reply := r.take(m.Buffers[0][:m.N], back); reply != nil {
				source.answer(back, reply)
			}
		}
		source.send()
	}
}

// udpReader answers datagrams one after another.
type udpReader struct {
	*Server
	key   []byte
	w     *writer
	count *timers
	q     question
}

// take returns the reply to a datagram, valid until the next call. Nil: there is none, or it is sent later.
func (r *udpReader) take(in []byte, back datagram) []byte {
	began := telemetry.Now()
	q, c := &r.q, r.config.Load()
	if !q.read(in) {
		rcode, ok := q.readOdd(in)
		if !ok {
			return nil
		}
		if rcode != dns.RcodeSuccess {
			return r.w.write(q, only(rcode), c)
		}
	}
	r.key = appendKey(r.key[:0], q)
	p, err := r.quick(q, r.key)
	if err == nil {
		reply := r.w.write(q, p, c)
		r.count.of(q.qtype).ObserveSince(began)
		return reply
	}
	// Recursors may be slow; that is no reason for the servers not to be asked.
	waiting, forward := r.asking, err == errForward
	if forward {
		waiting = r.recursors.forwarding
	}
	select {
	case waiting <- struct{}{}:
		// What the next datagram overwrites is copied; only here, so that nothing else is.
		later, key, packet := *q, slices.Clone(r.key), slices.Clone(in)
		later.name = slices.Clone(q.name)
		r.work.Go(func() {
			defer func() { <-waiting }()
			r.answerLater(back, &later, key, packet, forward)
			r.figures.others.of(later.qtype).ObserveSince(began)
		})
		return nil
	default:
		r.warn(errBusy)
		r.figures.failed.ObserveSince(began)
		return r.w.write(q, only(dns.RcodeServerFailure), c)
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
