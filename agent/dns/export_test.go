package dns

import (
	"context"

	mdns "github.com/miekg/dns"
)

// Answer answers a question as over UDP, without a socket.
func (s *Server) Answer(ctx context.Context, m *mdns.Msg) (*mdns.Msg, error) {
	packet, err := m.Pack()
	if err != nil {
		return nil, err
	}
	var q question
	if !q.read(packet) {
		q.readOdd(packet)
	}
	key := appendKey(nil, &q)
	w, reply := newWriter(chance{}), new(mdns.Msg)
	p, err := s.quick(&q, key)
	if err != nil {
		return reply, reply.Unpack(s.answer(ctx, w, &q, key, packet, false))
	}
	return reply, reply.Unpack(w.write(&q, p, s.config.Load()))
}

// Bounds that tests reach.
const (
	MaxViews        = maxViews
	MaxAbsentViews  = maxAbsentViews
	MaxTCPPerClient = maxTCPPerClient
	Often           = often
	Flood           = flood
	IdleTime        = (idleTicks + 2) * tick
)

// Answers is what tells the reply of a recursor from a forged one.
func Answers(reply, sent []byte) bool { return answers(reply, sent) }
