package xds_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/testutil/meshcases"
	"github.com/parleymesh/parley/testutil/policycases"
)

// judged is an Envoy in front of db, which is asked by callers with certificates of their own.
type judged struct {
	*meshcases.HTTPWorld
	envoys  *envoys
	log     string
	clients map[string]*http.Client
	n       int
}

func newJudged(t *testing.T) *judged {
	t.Helper()
	e := newEnvoys(t)
	j := &judged{HTTPWorld: meshcases.NewHTTPWorld(t, e, "http"), envoys: e, clients: map[string]*http.Client{}}
	j.log = filepath.Join(t.TempDir(), "access.log")
	j.Change(meshcases.DBProxy, func(s *snapshot.Snapshot) {
		proxy := *s.Proxy.Proxy
		proxy.AccessLogs = api.AccessLogs{Enabled: true, Type: "file", Path: j.log, DisableListenerLogs: true}
		s.Proxy.Proxy = &proxy
	})
	e.Start(t, j.Source, meshcases.DBProxy)
	j.Listens(j.Public)
	return j
}

func (j *judged) client(source string) *http.Client {
	j.T.Helper()
	if c := j.clients[source]; c != nil {
		return c
	}
	leaf := j.Authority.Leaf(j.T, source)
	pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		j.T.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}
	j.T.Cleanup(transport.CloseIdleConnections)
	j.clients[source] = &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return j.clients[source]
}

// ask makes a request with an id, and returns the status and what the caller is told to do.
func (j *judged) ask(source, id string, q policycases.Request) (status int, challenge string, err error) {
	req, err := http.NewRequestWithContext(context.Background(), q.Method, "https://"+j.Public+q.Path+q.Query, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header = q.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Host = req.Header.Get("Host")
	req.Header.Del("Host")
	req.Header.Set("User-Agent", id)
	resp, err := j.client(source).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), err
}

// enforce hands out rules, and waits until a caller of whom none of them tells sees that they are in force. With one worker they are
// then in force for everybody.
func (j *judged) enforce(rules []*intention.Rule) {
	j.T.Helper()
	j.n++
	path := fmt.Sprintf("/probe-%d", j.n)
	j.Change(meshcases.DBProxy, func(s *snapshot.Snapshot) {
		domain := s.Policy.TrustDomain
		s.Policy = snapshot.PolicyOf(rules)
		s.Policy.TrustDomain = domain
		probe := snapshot.Rule{ID: "probe", Source: "probe", HTTP: true, Permissions: []api.IntentionPermission{
			{Action: api.Allow, HTTP: &api.IntentionHTTP{PathExact: path}},
		}}
		s.Policy.Rules = append([]snapshot.Rule{probe}, s.Policy.Rules...)
	})
	j.Eventually("the rules to be in force", func() error {
		status, _, err := j.ask("probe", "probe", policycases.Request{Request: intention.Request{Method: "GET", Path: path}})
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// logged reads the access log by the ids of requests.
func (j *judged) logged(id string) (line map[string]any) {
	j.T.Helper()
	j.Eventually("the log of "+id, func() error {
		text, err := os.ReadFile(j.log)
		if err != nil {
			return err
		}
		for l := range strings.Lines(string(text)) {
			var entry map[string]any
			if json.Unmarshal([]byte(l), &entry) == nil && entry["user_agent"] == id {
				line = entry
				return nil
			}
		}
		return fmt.Errorf("it is not there")
	})
	return line
}

// TestEnvoyDecidesAboutRequestsAsTheServersDo compares three opinions: the servers', a naive one, and real Envoy's.
func TestEnvoyDecidesAboutRequestsAsTheServersDo(t *testing.T) {
	j := newJudged(t)
	issuers := []*policycases.Issuer{policycases.NewIssuer(t, "one"), policycases.NewIssuer(t, "two")}
	const cases, requests = 120, 50
	rules := map[string]string{} // that decided, by the request's id
	seen := map[int]int{}
	for seed := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := policycases.New(r, issuers)
		decided := c.Rules(t)
		j.enforce(decided)
		for n := range requests {
			source := policycases.Sources[r.IntN(len(policycases.Sources))]
			q := c.Request(t, r)
			if j.envoys.early { // it judges all values of a header as one, joined by commas
				for name, values := range q.Header {
					q.Header[name] = values[:1]
				}
			}
			id := fmt.Sprintf("%d-%d", seed, n)
			want := intention.DecideRequest(decided, source, &q.Request)
			naive := c.Naive(source, q)
			got, challenge, err := j.ask(source, id, q)
			if err != nil {
				t.Fatal(err)
			}
			if got != want.Status() || got != naive || (challenge != "") != (got == http.StatusUnauthorized) {
				text, _ := json.MarshalIndent(decided, "", " ")
				t.Fatalf("seed %d: %s to %+v: Envoy says %d (%q), the servers %+v, the naive %d\n%s", seed, source, q, got, challenge, want, naive, text)
			}
			rules[id] = want.Rule
			seen[got]++
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden} {
		if seen[status] < cases {
			t.Errorf("only %d requests were answered with %d", seen[status], status)
		}
	}
	j.logged(fmt.Sprintf("%d-%d", cases-1, requests-1)) // the last
	text, err := os.ReadFile(j.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		want, ok := rules[fmt.Sprint(entry["user_agent"])]
		if !ok {
			continue
		}
		if want == "" {
			want = "default"
		}
		got, _, _ := strings.Cut(fmt.Sprint(entry["rule"]), ": ")
		if got != want {
			t.Fatalf("the log names %q where %q decided: %s", got, want, line)
		}
	}
}
