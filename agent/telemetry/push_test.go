package telemetry

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// count counts something of each kind.
func count(labels ...Label) {
	gometrics.IncrCounterWithLabels([]string{"http", "refused"}, 2, labels)
	gometrics.SetGauge([]string{"raft", "peers"}, 5)
	gometrics.AddSample([]string{"raft", "commitTime"}, 1.5)
}

func TestStatsd(t *testing.T) {
	for name, c := range map[string]struct {
		to   Destination
		want []string
	}{
		"statsd":    {Destination{}, []string{"consul.http.refused.too_many:2|c", "consul.raft.peers:5|g", "consul.raft.commitTime:1.5|ms"}},
		"dogstatsd": {Destination{Tagged: true, Tags: []string{"env:test"}}, []string{"consul.http.refused:2|c|#env:test,reason:too many", "consul.raft.peers:5|g|#env:test"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.to.Network, c.to.Addr = "udp", conn.LocalAddr().String()
			m := open(t, Options{Push: []Destination{c.to}})
			count(Label{Name: "reason", Value: "too many"})
			var timer Timer
			for range 4 {
				timer.observe(Now()-Moment(interval), 3*time.Millisecond)
			}
			m.Add(func(r *Reading) { r.Sample("api.http", timer.Sample()) })
			m.push[0].tell(m.read())
			got := map[string]bool{}
			for !got["consul.runtime.num_goroutines"] {
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				b := make([]byte, 64<<10)
				n, _, err := conn.ReadFrom(b)
				if err != nil {
					t.Fatalf("%v; came: %v", err, got)
				}
				if n > maxPacket {
					t.Errorf("a packet of %d bytes", n)
				}
				for line := range strings.Lines(string(b[:n])) {
					got[strings.TrimSuffix(line, "\n")] = true
					if name, _, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "num_goroutines") {
						got["consul.runtime.num_goroutines"] = true
					}
				}
			}
			for _, line := range c.want {
				if !got[line] {
					t.Errorf("%s did not come; there came %v", line, got)
				}
			}
		})
	}
}

// TestStatsite has the destination come later than the agent.
func TestStatsite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open(t, Options{Push: []Destination{{Network: "tcp", Addr: l.Addr().String()}}})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	count()
	in := bufio.NewReader(conn)
	for _, want := range []string{"consul.http.refused:2|c\n", "consul.raft.peers:5|g\n"} {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Errorf("%q, %v: want %q", got, err, want)
		}
	}
}

func TestNobodyToSendTo(t *testing.T) {
	m := open(t, Options{Push: []Destination{{Network: "tcp", Addr: "127.0.0.1:1"}, {Network: "udp", Addr: "nowhere.invalid:1"}}})
	for range 2 * maxWaiting {
		count() // waits for nobody
	}
	m.Close()
}
