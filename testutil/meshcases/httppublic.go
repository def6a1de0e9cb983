package meshcases

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
)

func requestPasses(w *HTTPWorld) {
	w.Running()
	got, err := w.Do(Ask{Path: "/x?y=z", Header: []string{"X-Forwarded-Client-Cert: URI=spiffe://forged"}})
	if err != nil || got.Instance != "db-1" || got.Path != "/x?y=z" || got.Proto != "HTTP/1.1" {
		w.T.Fatalf("got %+v, %v", got, err)
	}
	if xfcc := got.Echo.Header.Get("X-Forwarded-Client-Cert"); !strings.Contains(xfcc, "/svc/web") || strings.Contains(xfcc, "forged") {
		w.T.Errorf("the service is told that %q calls", xfcc)
	}
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Mesh.HTTP = &api.MeshHTTP{SanitizeXForwardedClientCert: true} })
	w.Settled(Ask{Header: []string{"X-Forwarded-Client-Cert: URI=spiffe://forged"}}, func(a Answer) error {
		if xfcc := a.Echo.Header.Get("X-Forwarded-Client-Cert"); xfcc != "" {
			return fmt.Errorf("the service is told that %q calls", xfcc)
		}
		return nil
	})
}

func http2Passes(w *HTTPWorld) {
	w.Running()
	for range 20 {
		got, err := w.Do(Ask{Header: []string{"Content-Type: application/grpc", "Te: trailers"}})
		if err != nil || got.Proto != "HTTP/2.0" || got.Instance != "db-1" {
			w.T.Fatalf("got %+v, %v", got, err)
		}
	}
}

// websocketPasses uses one that lives for longer than a request may take.
func websocketPasses(w *HTTPWorld) {
	w.Running()
	const limit = 100 * time.Millisecond
	w.Write(&api.ServiceResolver{Name: "db", RequestTimeout: api.Duration(limit)})
	w.Change(DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.Config = map[string]any{"local_request_timeout_ms": limit.Milliseconds()}
		s.Proxy.Proxy = &proxy
	})
	w.Settled(Ask{Header: []string{AskDelay + ": 300ms"}}, Status(http.StatusGatewayTimeout))
	c, err := net.DialTimeout("tcp", w.Upstream, callTimeout)
	if err != nil {
		w.T.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(callTimeout))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: db\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		w.T.Fatalf("got %+v, %v", resp, err)
	}
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		time.Sleep(limit)
		if _, err := io.WriteString(c, line); err != nil {
			w.T.Fatal(err)
		}
		if got, err := r.ReadString('\n'); got != line || err != nil {
			w.T.Fatalf("got %q, %v", got, err)
		}
	}
}

// requestsAreJudged uses connections that stay: nothing of them may be known by the rule of before.
func requestsAreJudged(w *HTTPWorld) {
	w.Rules()
	w.Start()
	w.Settled(Ask{}, Status(http.StatusForbidden))
	before := w.App.Requests.Load()
	for range 5 {
		w.Rules(Allow("web"))
		w.Settled(Ask{}, From("db-1"))
		w.Rules(Deny("web"), Allow("*"))
		w.Settled(Ask{}, Status(http.StatusForbidden))
		for range 20 {
			got, err := w.Do(Ask{})
			if err != nil || got.Status != http.StatusForbidden {
				w.T.Fatalf("a denied request was answered with %d, %v after one was refused", got.Status, err)
			}
		}
	}
	if before == 0 && w.App.Requests.Load() == 0 {
		w.T.Error("no request passed")
	}
	w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Policy.Rules, s.Policy.DefaultAllow = nil, true })
	w.Settled(Ask{}, From("db-1"))
}

func httpStrangersAreRefused(w *HTTPWorld) {
	w.Running()
	foreign := NewAuthority(w.T).Leaf(w.T, "web")
	forged := newAuthority(w.T, w.Authority.clusterID, 99).Leaf(w.T, "web")
	web := w.Authority.Leaf(w.T, "web")
	for name, leaf := range map[string]*api.Leaf{"no certificate": nil, "another trust domain": &foreign, "a forged one": &forged} {
		if got, err := w.direct(leaf); err == nil {
			w.T.Errorf("%s: got %+v", name, got)
		}
	}
	if got, err := w.direct(&web); err != nil || got.Status != http.StatusOK {
		w.T.Errorf("web itself: %+v, %v", got, err)
	}
	if got, err := w.do(http.DefaultClient, "http://"+w.Public, Ask{}); err == nil {
		w.T.Errorf("plain text was answered: %+v", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// direct has somebody with a certificate make a request to db's sidecar.
func (w *HTTPWorld) direct(leaf *api.Leaf) (Answer, error) {
	config := &tls.Config{InsecureSkipVerify: true} // who it is is not the question here
	if leaf != nil {
		pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
		if err != nil {
			return Answer{}, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	return w.do(&http.Client{Transport: transport, Timeout: callTimeout}, "https://"+w.Public, Ask{})
}

func pathsAreNormalized(w *HTTPWorld) {
	w.Instance("admin", "admin-1")
	w.Running()
	raw := func(path string) (Answer, error) { return w.Do(Ask{Path: path}) }
	if got, err := raw("/a/../admin/x"); err != nil || got.Path != "/admin/x" {
		w.T.Errorf("got %+v, %v", got, err)
	}
	if got, err := raw("//a//b"); err != nil || got.Path != "//a//b" {
		w.T.Errorf("got %+v, %v", got, err)
	}
	normalized := func(n api.RequestNormalization) {
		w.Change(DBProxy, func(s *snapshot.Snapshot) {
			s.Mesh.HTTP = &api.MeshHTTP{Incoming: &api.MeshHTTPDirection{RequestNormalization: &n}}
		})
	}
	normalized(api.RequestNormalization{MergeSlashes: true, PathWithEscapedSlashesAction: "REJECT_REQUEST", HeadersWithUnderscoresAction: "REJECT_REQUEST"})
	w.Settled(Ask{Path: "/b%2Fc"}, Status(http.StatusBadRequest))
	w.Settled(Ask{Header: []string{"a_b: c"}}, Status(http.StatusBadRequest))
	if got, err := raw("//a//b"); err != nil || got.Path != "/a/b" {
		w.T.Errorf("got %+v, %v", got, err)
	}
	normalized(api.RequestNormalization{InsecureDisablePathNormalization: true})
	w.Settled(Ask{Path: "/b%2Fc"}, From("db-1"))
	if got, err := raw("/a/../admin/x"); err != nil || got.Path != "/a/../admin/x" {
		w.T.Errorf("got %+v, %v", got, err)
	}
}

func localSettings(w *HTTPWorld) {
	config := func(c map[string]any) {
		w.Change(DBProxy, func(s *snapshot.Snapshot) {
			proxy := *s.Proxy.Proxy
			proxy.Config = c
			s.Proxy.Proxy = &proxy
		})
	}
	w.Running()
	long := Ask{Header: []string{"X-Long: " + strings.Repeat("x", 62<<10)}}
	if got, err := w.Do(long); err == nil && got.Status == http.StatusOK {
		w.T.Error("headers of 62 KB passed")
	}
	config(map[string]any{"local_request_timeout_ms": 100.0})
	slow := Ask{Header: []string{AskDelay + ": 1s"}}
	w.Settled(slow, Status(http.StatusGatewayTimeout))
	config(map[string]any{"local_request_timeout_ms": 0.0, "max_inbound_connections": 1})
	w.Settled(slow, From("db-1"))
	// Two at a time are one too many for one connection, and wait for it.
	both := make(chan error, 2)
	for range 2 {
		go func() {
			got, err := w.Do(slow)
			both <- errors.Join(err, From("db-1")(got))
		}()
	}
	began := time.Now()
	if err := errors.Join(<-both, <-both); err != nil {
		w.T.Error(err)
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		w.T.Errorf("both took %s", took)
	}
}

func pathsAreExposed(w *HTTPWorld) {
	port := FreePorts(w.T, 1)[0]
	w.Change(DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.Expose.Paths = []api.ExposePath{
			{Path: "/healthz", ListenerPort: port, LocalPathPort: w.App.Addr.Port, Protocol: "http"},
			{Path: "/metrics", ListenerPort: port, LocalPathPort: w.App.Addr.Port, Protocol: "http2"},
		}
		s.Proxy.Proxy = &proxy
	})
	w.Rules()
	w.Start()
	base := "http://" + address(port).String()
	w.Listens(address(port).String())
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]struct {
		status int
		proto  string
	}{"/healthz": {200, "HTTP/1.1"}, "/metrics": {200, "HTTP/2.0"}, "/": {404, ""}, "/healthz/../secret": {404, ""}} {
		got, err := w.do(http.DefaultClient, base, Ask{Path: path})
		if err != nil || got.Status != want.status || got.Proto != want.proto {
			w.T.Errorf("%s: got %+v, %v", path, got, err)
		}
	}
	if got, err := w.Do(Ask{}); err != nil || got.Status != http.StatusForbidden {
		w.T.Errorf("who is denied got %+v, %v", got, err)
	}
}

func ownListenerIsGuarded(w *HTTPWorld) {
	w.Running()
	listener := fmt.Sprintf(`{"address": {"socketAddress": {"address": "127.0.0.1", "portValue": %d}}, "filterChains": [{"filters": [{
		"name": "http", "typedConfig": {
			"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "own",
			"routeConfig": {"virtualHosts": [{"name": "own", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "local_app"},
				"responseHeadersToAdd": [{"header": {"key": "x-own", "value": "yes"}}]}]}]},
			"httpFilters": [{"name": "router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
		}}]}]}`, w.snapshots[DBProxy].Public.Port)
	w.Change(DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.Config = map[string]any{"envoy_public_listener_json": listener}
		s.Proxy.Proxy = &proxy
	})
	w.Settled(Ask{}, func(a Answer) error {
		if a.Header.Get("X-Own") != "yes" {
			return fmt.Errorf("status %d by the listener of before", a.Status)
		}
		return nil
	})
	w.Rules(Deny("web"), Allow("other"))
	w.Within(slack+w.Dataplane.Drain(), "web to be refused", func() error {
		if got, err := w.Do(Ask{}); err == nil && got.Status == http.StatusOK {
			return errors.New("a request passed")
		}
		return nil
	})
	web := w.Authority.Leaf(w.T, "web")
	if got, err := w.direct(&web); err == nil && got.Status == http.StatusOK {
		w.T.Error("a request passed")
	}
	if got, err := w.direct(nil); err == nil {
		w.T.Errorf("somebody without a certificate got %+v", got)
	}
	w.Rules(snapshot.Rule{ID: "by-path", Source: "other", HTTP: true, Permissions: []api.IntentionPermission{
		{Action: api.Allow, HTTP: &api.IntentionHTTP{PathExact: "/"}},
	}})
	other := w.Authority.Leaf(w.T, "other")
	w.Eventually("other to be let pass by a permission", func() error {
		got, err := w.direct(&other)
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("status %d", got.Status)
		}
		return err
	})
	if got, err := w.direct(&other); err != nil || got.Status != http.StatusOK {
		w.T.Errorf("other got %+v, %v", got, err)
	}
}

func protocolChanges(w *HTTPWorld) {
	w.Running()
	speak := func(protocol string) {
		w.Change(DBProxy, func(s *snapshot.Snapshot) { s.Protocol = protocol })
		w.Change(WebProxy, func(s *snapshot.Snapshot) {
			c := *s.Upstreams[0].Chain
			c.Protocol = protocol
			s.Upstreams[0].Chain = &c
		})
	}
	via := func(want bool) func(a Answer) error {
		return func(a Answer) error {
			if err := From("db-1")(a); err != nil {
				return err
			}
			if got := a.Echo.Header.Get("X-Forwarded-Client-Cert") != ""; got != want {
				return fmt.Errorf("the request was seen as one: %t", got)
			}
			return nil
		}
	}
	w.Settled(Ask{}, via(true))
	speak("tcp")
	w.Within(slack+w.Dataplane.Drain(), "bytes to pass", func() error {
		w.client.CloseIdleConnections()
		got, err := w.Do(Ask{})
		if err != nil {
			return err
		}
		return via(false)(got)
	})
	speak("http")
	w.Within(slack+w.Dataplane.Drain(), "requests to pass", func() error {
		w.client.CloseIdleConnections()
		got, err := w.Do(Ask{})
		if err != nil {
			return err
		}
		return via(true)(got)
	})
}
