package dns_test

import (
	"net"
	"testing"

	mdns "github.com/miekg/dns"
)

// These measure a question and its answer over loopback, the client's share and the kernel's included.

func BenchmarkA3(b *testing.B)    { benchmark(b, 3, mdns.TypeA, 0) }
func BenchmarkA1000(b *testing.B) { benchmark(b, 1000, mdns.TypeA, 0) }
func BenchmarkSRV50(b *testing.B) { benchmark(b, 50, mdns.TypeSRV, 4096) }

func benchmark(b *testing.B, instances int, qtype, edns uint16) {
	r := start(b, usual(), many(instances)...)
	m := question("many.service.consul", qtype)
	if edns > 0 {
		m.SetEdns0(edns, false)
	}
	if reply := r.exchange("udp", m.Copy()); len(reply.Answer) == 0 {
		b.Fatal(reply)
	}
	packet, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("udp", r.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in := make([]byte, 65535)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(packet); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(in); err != nil {
			b.Fatal(err)
		}
	}
}
