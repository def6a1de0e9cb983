package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// work is something that an agent is made to do.
type work struct {
	name    string
	prepare func() error
	do      func(client, i int) error
}

// agent is what is driven.
type agent struct {
	url    string
	dns    string
	client *http.Client
}

func works(httpAddr, dnsAddr string) []work {
	// Without a word of ours the client would ask for compressed bodies, and most of the CPU time of a read would be gzip's.
	a := &agent{url: "http://" + httpAddr, dns: dnsAddr, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * sleepers, DisableCompression: true}, Timeout: 30 * time.Second,
	}}
	value := bytes.Repeat([]byte("v"), 512)
	nothing := func() error { return nil }
	return []work{
		{"kv-put", nothing, func(_, i int) error { return a.put(fmt.Sprintf("/v1/kv/bench/%d", i%1000), value) }},
		{"kv-get", func() error { return a.put("/v1/kv/bench/0", value) }, func(int, int) error { return a.get("/v1/kv/bench/0") }},
		{"catalog-register", nothing, func(_, i int) error { return a.catalog("bench", i) }},
		{"agent-register", nothing, func(_, i int) error {
			name := fmt.Sprintf("bench-agent-%d", i)
			return a.putJSON("/v1/agent/service/register", map[string]any{"Name": name, "Port": 80, "Check": map[string]any{"TTL": "1h"}})
		}},
		{"health-read-100", func() error { return a.instances("bench-100", 100) }, func(int, int) error {
			return a.get("/v1/health/service/bench-100")
		}},
		{"health-read-100-gzip", func() error { return a.instances("bench-100", 100) }, func(int, int) error {
			return a.do(http.MethodGet, "/v1/health/service/bench-100", nil, "Accept-Encoding", "gzip")
		}},
		{"dns-a-3", func() error { return a.instances("bench-3", 3) }, func(client, _ int) error { return a.lookUp(client, "bench-3", 1) }},
		{"dns-srv-50", func() error { return a.instances("bench-50", 50) }, func(client, _ int) error { return a.lookUp(client, "bench-50", 33) }},
		(&waking{agent: a}).work(),
	}
}

func (a *agent) get(path string) error { return a.do(http.MethodGet, path, nil) }

func (a *agent) put(path string, body []byte) error { return a.do(http.MethodPut, path, body) }

func (a *agent) putJSON(path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.put(path, body)
}

// do sends a request with headers, given as names and values in turn, and reads the answer to its end.
func (a *agent) do(method, path string, body []byte, headers ...string) error {
	req, err := http.NewRequestWithContext(context.Background(), method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// catalog registers the i-th node with an instance of a service.
func (a *agent) catalog(service string, i int) error {
	return a.putJSON("/v1/catalog/register", map[string]any{
		"Node": fmt.Sprintf("%s-node-%d", service, i), "Address": fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255),
		"Service": map[string]any{"Service": service, "Port": 80},
		"Check":   map[string]any{"CheckID": "alive", "Name": "alive", "Status": "passing", "ServiceID": service},
	})
}

func (a *agent) instances(service string, n int) error {
	for i := range n {
		if err := a.catalog(service, i); err != nil {
			return err
		}
	}
	return nil
}

// sockets are the clients' own: a resolver keeps its port while it waits.
var sockets = make([]net.Conn, 1024)

// lookUp asks one question over UDP and wants an answer without error.
func (a *agent) lookUp(client int, service string, qtype byte) error {
	if sockets[client] == nil {
		conn, err := net.Dial("udp", a.dns)
		if err != nil {
			return err
		}
		sockets[client] = conn
	}
	q := []byte{byte(client >> 8), byte(client), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range []string{service, "service", "consul", ""} {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, qtype, 0, 1)
	if _, err := sockets[client].Write(q); err != nil {
		return err
	}
	_ = sockets[client].SetReadDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 4096)
	n, err := sockets[client].Read(answer)
	if err != nil {
		return err
	}
	if n < 12 || answer[3]&15 != 0 || answer[6] == 0 && answer[7] == 0 {
		return fmt.Errorf("%s: response code %d, %d answers", service, answer[3]&15, int(answer[6])<<8|int(answer[7]))
	}
	return nil
}
