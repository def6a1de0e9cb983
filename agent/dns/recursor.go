package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/parleymesh/parley/agent/telemetry"
)

// recursors are the servers that are asked about names which are not ours. A message is handed on as it came and its
// reply handed back as it came, EDNS included; only the identifier is another one on the way.
type recursors struct {
	mu  sync.Mutex
	all map[string]*recursor // those that were ever configured, with what is known of their health
	// forwarding bounds the messages under way, each of which holds a socket.
	forwarding chan struct{}
	figures    *figures
}

// recursor is what is known of a server.
type recursor struct {
	addr string
	// deaf is until when it is asked last, in Unix nanoseconds, because it did not answer lately.
	deaf atomic.Int64
}

const (
	maxForwarding = 512
	// deafTime is how long a server that did not answer is asked only when no other does.
	deafTime = 10 * time.Second
)

func newRecursors(f *figures) *recursors {
	return &recursors{all: map[string]*recursor{}, figures: f, forwarding: make(chan struct{}, maxForwarding)}
}

// errForward says that an answer takes asking a recursor.
var errForward = errors.New("it takes a recursor")

// errRecursors says that no recursor has answered.
var errRecursors = errors.New("no recursor answers")

// enter takes a place among the messages under way, if there is one.
func (rs *recursors) enter() bool {
	select {
	case rs.forwarding <- struct{}{}:
		return true
	default:
		return false
	}
}

func (rs *recursors) leave() { <-rs.forwarding }

// order returns the servers in the order in which they are to be asked: those that answer first.
func (rs *recursors) order(c *Config) []*recursor {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := make([]*recursor, 0, len(c.Recursors))
	for _, addr := range c.Recursors {
		if rs.all[addr] == nil {
			rs.all[addr] = &recursor{addr: addr}
		}
		list = append(list, rs.all[addr])
	}
	if c.RandomRecursor {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	now := time.Now().UnixNano()
	slices.SortStableFunc(list, func(a, b *recursor) int {
		return boolInt(a.deaf.Load() > now) - boolInt(b.deaf.Load() > now)
	})
	return list
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// forward asks the servers one after another and returns the first reply that settles the question; if there is none, the
// first refusal or failure. The caller has a place among the messages under way.
func (rs *recursors) forward(ctx context.Context, c *Config, network string, packet []byte) ([]byte, error) {
	if len(packet) < headerSize {
		return nil, errRecursors
	}
	var refusal []byte
	var errs []error
	for _, r := range rs.order(c) {
		began := telemetry.Now()
		reply, err := r.ask(ctx, network, packet, c.RecursorTimeout)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			rs.figures.unanswered.ObserveSince(began)
			r.deaf.Store(time.Now().Add(deafTime).UnixNano())
			errs = append(errs, err)
			continue
		}
		rs.figures.recursors.ObserveSince(began)
		r.deaf.Store(0)
		switch rcode := int(reply[3] & 15); {
		case rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError:
			return reply, nil
		case refusal == nil:
			refusal = reply
		}
	}
	if refusal != nil {
		return refusal, nil
	}
	return nil, fmt.Errorf("%w: %w", errRecursors, errors.Join(errs...))
}

// ask sends a message under another identifier and returns the reply under the message's own.
func (r *recursor) ask(ctx context.Context, network string, packet []byte, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, r.addr)
	if err != nil {
		return nil, fmt.Errorf("recursor %s: %w", r.addr, err)
	}
	defer conn.Close()
	// The end of ctx ends what is being read or written.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	sent := slices.Clone(packet)
	binary.BigEndian.PutUint16(sent, uint16(rand.Uint32()))
	var reply []byte
	if network == "tcp" {
		reply, err = exchangeTCP(conn, sent)
	} else {
		reply, err = exchangeUDP(conn, sent)
	}
	if err != nil {
		return nil, fmt.Errorf("recursor %s: %w", r.addr, err)
	}
	copy(reply, packet[:2])
	return reply, nil
}

// datagrams are buffers for what arrives.
var datagrams = sync.Pool{New: func() any { return new([maxTCPSize]byte) }}

// exchangeUDP waits for the reply. What is none, somebody may have forged, and is passed over.
func exchangeUDP(conn net.Conn, sent []byte) ([]byte, error) {
	if _, err := conn.Write(sent); err != nil {
		return nil, err
	}
	buf := datagrams.Get().(*[maxTCPSize]byte)
	defer datagrams.Put(buf)
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			return nil, err
		}
		if answers(buf[:n], sent) {
			return bytes.Clone(buf[:n]), nil
		}
	}
}

func exchangeTCP(conn net.Conn, sent []byte) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(sent))), sent...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	if !answers(reply, sent) {
		return nil, errors.New("the reply is to another question")
	}
	return reply, nil
}

// answers tells whether a message is the reply to what was sent: the same identifier and question. A server that could not
// read the question may leave it out.
func answers(reply, sent []byte) bool {
	if len(reply) < headerSize || !bytes.Equal(reply[:2], sent[:2]) || reply[2]&(flagQR>>8) == 0 {
		return false
	}
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		return reply[3]&15 != dns.RcodeSuccess
	}
	n := nameEnd(sent[headerSize:])
	end := headerSize + n + 4
	if n < 0 || len(sent) < end || len(reply) < end {
		return false
	}
	return bytes.Equal(appendFolded(nil, reply[headerSize:end-4]), appendFolded(nil, sent[headerSize:end-4])) &&
		bytes.Equal(reply[end-4:end], sent[end-4:end])
}
