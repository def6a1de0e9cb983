package feature

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// read asks an agent for a path and returns the answer with its body.
func read(ctx context.Context, a *testutil.Agent, path string, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.HTTPAddr()+path, nil)
	if err != nil {
		return nil, "", err
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// TestCachedReadsOutliveTheServers reads with ?cached at a client agent, whose only server is then killed and comes back.
func TestCachedReadsOutliveTheServers(t *testing.T) {
	c := testutil.NewCluster(t, 1, 1)
	server, agent := c.Servers[0], c.Clients[0]
	agent.Must("services", "register", "-name=web", "-port=8080")
	const path = "/v1/health/service/web?cached"
	until := func(what, cache, body string, age int) {
		t.Helper()
		testutil.Eventually(t, what, func(ctx context.Context) error {
			resp, got, err := read(ctx, agent, path)
			if err != nil {
				return err
			}
			old, _ := strconv.Atoi(resp.Header.Get("Age"))
			if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Cache") != cache || !strings.Contains(got, body) || old < age || age == 0 && old > 0 {
				return fmt.Errorf("status %d, X-Cache %q, Age %q: %.200s", resp.StatusCode, resp.Header.Get("X-Cache"), resp.Header.Get("Age"), got)
			}
			return nil
		})
	}
	until("a hit", "HIT", `"Port":8080`, 0)
	server.Kill()
	until("a hit without a server, with its age", "HIT", `"Port":8080`, 1)
	resp, body, err := read(t.Context(), agent, path, "Cache-Control: max-age=0, stale-if-error=600")
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Cache") != "HIT" {
		t.Errorf("stale-if-error: %v, %v: %s", resp, err, body)
	}
	if resp, body, err = read(t.Context(), agent, path, "Cache-Control: max-age=0"); err != nil || resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("max-age=0 without a server: %v, %v: %s", resp, err, body)
	}
	server.Start()
	agent.WaitLeader()
	agent.Must("services", "register", "-name=web", "-port=8081")
	until("a hit that is fresh again", "HIT", `"Port":8081`, 0)
}
