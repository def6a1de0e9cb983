package check_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

// quiet keeps servers from logging the handshakes that the tests mean to fail.
var quiet = log.New(io.Discard, "", 0)

// statusServer answers /status/N with status N and tells what it was asked.
func statusServer(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		body, _ := io.ReadAll(r.Body)
		if code/100 == 3 {
			w.Header().Set("Location", "/status/200")
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, "%s host=%s agent=%s x=%v body=%s", r.Method, r.Host, r.UserAgent(), r.Header.Values("X-A"), body)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("é", 100_000))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestHTTP(t *testing.T) {
	s := statusServer(t)
	host := strings.TrimPrefix(s.URL, "http://")
	for _, tc := range []struct {
		name   string
		def    api.CheckDefinition
		status string
		output string
	}{
		{"200", api.CheckDefinition{HTTP: s.URL + "/status/200"}, api.Passing,
			"HTTP GET " + s.URL + "/status/200: 200 OK Output: GET host=" + host + " agent=Parley Health Check x=[] body="},
		{"204 has no body", api.CheckDefinition{HTTP: s.URL + "/status/204"}, api.Passing, "204 No Content Output: "},
		{"429", api.CheckDefinition{HTTP: s.URL + "/status/429"}, api.Warning, "429 Too Many Requests"},
		{"500", api.CheckDefinition{HTTP: s.URL + "/status/500"}, api.Critical, "500 Internal Server Error"},
		{"a redirect is followed", api.CheckDefinition{HTTP: s.URL + "/status/302"}, api.Passing, "200 OK"},
		{"unless that is off", api.CheckDefinition{HTTP: s.URL + "/status/302", DisableRedirects: true}, api.Critical, "302 Found"},
		{"method, header, body", api.CheckDefinition{HTTP: s.URL + "/status/200", Method: "POST", Body: "hi",
			Header: map[string][]string{"x-a": {"1", "2"}, "host": {"web.example"}, "User-Agent": {"me"}}},
			api.Passing, "POST host=web.example agent=me x=[1 2] body=hi"},
		{"a password stays private", api.CheckDefinition{HTTP: "http://u:secret@" + host + "/status/500"}, api.Critical, "http://u:xxxxx@"},
		{"nobody listens", api.CheckDefinition{HTTP: "http://127.0.0.1:1/"}, api.Critical, "connection refused"},
		{"timeout", api.CheckDefinition{HTTP: s.URL + "/slow", Timeout: api.Duration(50 * time.Millisecond)}, api.Critical, "context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := firstResult(t, tc.def)
			if got.status != tc.status || !strings.Contains(got.output, tc.output) {
				t.Fatalf("got %s %q, want %s with %q", got.status, got.output, tc.status, tc.output)
			}
			if strings.Contains(got.output, "secret") {
				t.Fatalf("the output shows the password: %q", got.output)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	s := statusServer(t)
	got := firstResult(t, api.CheckDefinition{HTTP: s.URL + "/long"})
	if n := len(got.output); n > check.DefaultOutputMaxSize || n < check.DefaultOutputMaxSize-4 {
		t.Fatalf("the output has %d bytes", n)
	}
	if strings.ContainsRune(got.output, '\uFFFD') || got.output != strings.ToValidUTF8(got.output, "?") {
		t.Fatal("the output is cut inside a character")
	}
	got = firstResult(t, api.CheckDefinition{HTTP: s.URL + "/long", OutputMaxSize: 100})
	if n := len(got.output); n > 100 {
		t.Fatalf("the output has %d bytes where the definition wants at most 100", n)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.TLS.ServerName) }))
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "https://")
	trusted := check.Options{TLS: s.Client().Transport.(*http.Transport).TLSClientConfig}
	for _, tc := range []struct {
		name   string
		def    api.CheckDefinition
		o      check.Options
		status string
		output string
	}{
		{"http, unknown authority", api.CheckDefinition{HTTP: s.URL}, check.Options{}, api.Critical, "certificate"},
		{"http, skip verify", api.CheckDefinition{HTTP: s.URL, TLSSkipVerify: true}, check.Options{}, api.Passing, "200 OK"},
		{"http, known authority and name", api.CheckDefinition{HTTP: s.URL, TLSServerName: "example.com"}, trusted, api.Passing, "example.com"},
		{"http, wrong name", api.CheckDefinition{HTTP: s.URL, TLSServerName: "other.test"}, trusted, api.Critical, "other.test"},
		{"tcp, unknown authority", api.CheckDefinition{TCP: address, TCPUseTLS: true}, check.Options{}, api.Critical, "TLS handshake"},
		{"tcp, known authority", api.CheckDefinition{TCP: address, TCPUseTLS: true}, trusted, api.Passing, "Success"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := firstResultWith(t, tc.def, tc.o)
			if got.status != tc.status || !strings.Contains(got.output, tc.output) {
				t.Fatalf("got %s %q, want %s with %q", got.status, got.output, tc.status, tc.output)
			}
		})
	}
}

func TestTCP(t *testing.T) {
	l := listen(t)
	got := firstResult(t, api.CheckDefinition{TCP: l.Addr().String()})
	if want := (result{api.Passing, "TCP connect " + l.Addr().String() + ": Success"}); got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
	got = firstResult(t, api.CheckDefinition{TCP: "127.0.0.1:1"})
	if want := (result{api.Critical, "dial tcp 127.0.0.1:1: connect: connection refused"}); got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestUDP(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	got := firstResult(t, api.CheckDefinition{UDP: silent.LocalAddr().String(), Timeout: api.Duration(50 * time.Millisecond)})
	if got.status != api.Passing {
		t.Fatalf("a silent target: %v", got)
	}

	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	got = firstResult(t, api.CheckDefinition{UDP: closed.LocalAddr().String()})
	if got.status != api.Critical || !strings.Contains(got.output, "refused") {
		t.Fatalf("a target that refuses: %v", got)
	}
}

func TestGRPC(t *testing.T) {
	l := listen(t)
	states := health.NewServer()
	states.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
	states.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, states)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	address := l.Addr().String()
	for target, want := range map[string]result{
		address:             {api.Passing, "gRPC check " + address + ": success"},
		address + "/up":     {api.Passing, "gRPC check " + address + "/up: success"},
		address + "/down":   {api.Critical, "gRPC check " + address + "/down: the service answers NOT_SERVING"},
		address + "/absent": {api.Critical, "gRPC check " + address + "/absent: rpc error: code = NotFound desc = unknown service"},
	} {
		if got := firstResult(t, api.CheckDefinition{GRPC: target}); got != want {
			t.Errorf("%s: got %v, want %v", target, got, want)
		}
	}
	got := firstResult(t, api.CheckDefinition{GRPC: "127.0.0.1:1", Timeout: api.Duration(time.Second)})
	if got.status != api.Critical || !strings.Contains(got.output, "refused") {
		t.Errorf("nobody listens: %v", got)
	}
	got = firstResult(t, api.CheckDefinition{GRPC: address, GRPCUseTLS: true, Timeout: api.Duration(time.Second)})
	if got.status != api.Critical {
		t.Errorf("TLS where there is none: %v", got)
	}
}

func TestH2Ping(t *testing.T) {
	clear, secure := false, true
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h2c := httptest.NewUnstartedServer(http.NotFoundHandler())
	h2c.Config.Protocols = protocols
	h2c.Start()
	t.Cleanup(h2c.Close)
	h2 := httptest.NewUnstartedServer(http.NotFoundHandler())
	h2.EnableHTTP2 = true
	h2.Config.ErrorLog = quiet
	h2.StartTLS()
	t.Cleanup(h2.Close)
	h1 := httptest.NewUnstartedServer(http.NotFoundHandler())
	h1.Config.ErrorLog = quiet
	h1.StartTLS()
	t.Cleanup(h1.Close)

	trust := check.Options{TLS: &tls.Config{RootCAs: h2.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	address := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	for _, tc := range []struct {
		name   string
		def    api.CheckDefinition
		status string
	}{
		{"in the clear", api.CheckDefinition{H2PING: address(h2c), H2PingUseTLS: &clear}, api.Passing},
		{"TLS", api.CheckDefinition{H2PING: address(h2), H2PingUseTLS: &secure}, api.Passing},
		{"TLS is the default", api.CheckDefinition{H2PING: address(h2)}, api.Passing},
		{"HTTP/1 over TLS", api.CheckDefinition{H2PING: address(h1)}, api.Critical},
		{"TLS to a clear port", api.CheckDefinition{H2PING: address(h2c)}, api.Critical},
		{"nobody", api.CheckDefinition{H2PING: "127.0.0.1:1"}, api.Critical},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.def.Timeout = api.Duration(5 * time.Second)
			if got := firstResultWith(t, tc.def, trust); got.status != tc.status {
				t.Fatalf("got %v, want %s", got, tc.status)
			}
		})
	}
}

func TestScript(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string
		status string
		output string
	}{
		{"passes", []string{"sh", "-c", "echo fine; echo aside >&2"}, api.Passing, "fine\naside\n"},
		{"warns", []string{"sh", "-c", "echo careful; exit 1"}, api.Warning, "careful\n"},
		{"fails", []string{"sh", "-c", "echo broken; exit 2"}, api.Critical, "broken\n"},
		{"no shell in between", []string{"echo", "$HOME; false"}, api.Passing, "$HOME; false\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := firstResult(t, api.CheckDefinition{Args: tc.args}); got != (result{tc.status, tc.output}) {
				t.Fatalf("got %v", got)
			}
		})
	}
	t.Run("does not exist", func(t *testing.T) {
		got := firstResult(t, api.CheckDefinition{Args: []string{"/does/not/exist"}})
		if got.status != api.Critical || !strings.Contains(got.output, "/does/not/exist") {
			t.Fatalf("got %v", got)
		}
	})
	t.Run("keeps the end of long output", func(t *testing.T) {
		got := firstResult(t, api.CheckDefinition{Args: []string{"sh", "-c", "yes x | head -n 100000; echo the end"}, OutputMaxSize: 50})
		if len(got.output) > 50 || !strings.HasPrefix(got.output, "... ") || !strings.HasSuffix(got.output, "the end\n") {
			t.Fatalf("got %q", got.output)
		}
	})
	t.Run("is killed with its children", func(t *testing.T) {
		pidFile := t.TempDir() + "/pid"
		got := firstResult(t, api.CheckDefinition{
			Args:    []string{"sh", "-c", "sleep 1000 & echo $! > " + pidFile + "; wait"},
			Timeout: api.Duration(500 * time.Millisecond),
		})
		if got.status != api.Critical || !strings.Contains(got.output, "Timed out") {
			t.Fatalf("got %v", got)
		}
		pid, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		awaitDead(t, strings.TrimSpace(string(pid)))
	})
}

// awaitDead waits until a process is gone, or a zombie that nobody reaps.
func awaitDead(t *testing.T, pid string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("process %s still runs", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
