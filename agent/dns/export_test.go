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
	p := s.quick(&q, key)
	if p == nil {
		p = s.slow(ctx, &q, key)
	}
	reply := new(mdns.Msg)
	return reply, reply.Unpack(newWriter(chance{}).write(&q, p, s.config.Load()))
}

// Bounds that tests reach.
const (
	MaxViews        = maxViews
	MaxAbsentViews  = maxAbsentViews
	MaxTCPPerClient = maxTCPPerClient
	Often           = often
	IdleTime        = (idleTicks + 2) * tick
)
