package dns

import (
	"context"
	"fmt"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// fixed is a client that knows the rows of one service, which do not change.
type fixed []*verb.Row

// Query implements Client.
func (f fixed) Query(context.Context, verb.Options, verb.Query) (verb.Answer, error) {
	return verb.Answer{Rows: f}, nil
}

// Watch implements Client.
func (f fixed) Watch(context.Context, verb.Options, verb.Query) (verb.Reader, error) {
	return &fixedReader{rows: f}, nil
}

type fixedReader struct {
	rows []*verb.Row
	told bool
}

// Next implements verb.Reader.
func (r *fixedReader) Next(ctx context.Context) (verb.Answer, error) {
	if r.told {
		<-ctx.Done()
		return verb.Answer{}, ctx.Err()
	}
	r.told = true
	return verb.Answer{Rows: r.rows}, nil
}

// Close implements verb.Reader.
func (*fixedReader) Close() {}

func instances(n int) fixed {
	var rows fixed
	for i := range n {
		rows = append(rows, &verb.Row{Key: fmt.Sprintf("%04d", i), Value: &api.ServiceEntry{
			Node:    api.Node{Node: fmt.Sprintf("node-%d", i), Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)},
			Service: api.Service{Service: "web", Port: 80},
		}})
	}
	return rows
}

// hotPath returns what the loop does with a datagram between the two calls of the kernel.
func hotPath(t testing.TB, instances fixed, qtype, edns uint16) func() []byte {
	s := New(Options{Client: instances, Datacenter: "dc1", Config: Config{AllowStale: true, UDPAnswerLimit: 3}})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	m := new(mdns.Msg)
	m.SetQuestion("web.service.consul.", qtype)
	if edns > 0 {
		m.SetEdns0(edns, false)
	}
	if reply, err := s.Answer(context.Background(), m); err != nil || len(reply.Answer) == 0 {
		t.Fatal(err, reply)
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q question
	var key []byte
	w := newWriter(chance{})
	return func() []byte {
		if !q.read(packet) {
			return nil
		}
		key = appendKey(key[:0], &q)
		p, err := s.quick(&q, key)
		if err != nil {
			return nil
		}
		return w.write(&q, p, s.config.Load())
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, qtype := range []uint16{mdns.TypeA, mdns.TypeSRV} {
		answer := hotPath(t, instances(10), qtype, 1232)
		answer()
		if n := testing.AllocsPerRun(100, func() { answer() }); n != 0 {
			t.Errorf("%s: %v allocations", mdns.TypeToString[qtype], n)
		}
	}
}

func BenchmarkHotPath(b *testing.B) {
	for _, c := range []struct {
		name        string
		n           int
		qtype, edns uint16
	}{{"A3", 3, mdns.TypeA, 0}, {"A3of5000", 5000, mdns.TypeA, 0}, {"SRV3", 3, mdns.TypeSRV, 0}, {"SRV50", 50, mdns.TypeSRV, 4096}} {
		b.Run(c.name, func(b *testing.B) {
			answer := hotPath(b, instances(c.n), c.qtype, c.edns)
			b.ReportAllocs()
			for b.Loop() {
				answer()
			}
		})
	}
}

// BenchmarkPack is what a change costs the next who asks.
func BenchmarkPack(b *testing.B) {
	rows := instances(5000)
	name := []byte("\x03web\x07service\x06consul\x00")
	q := asked{
		lookup: lookup{kind: serviceFor, name: "web", zone: "consul."}, qname: "web.service.consul.", qtype: mdns.TypeA,
		cfg: &Config{}, datacenter: "dc1",
	}
	for _, q.qtype = range []uint16{mdns.TypeA, mdns.TypeSRV} {
		b.Run(mdns.TypeToString[q.qtype], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pack(answerTo(q, rows), name, name[12:])
			}
		})
	}
}
