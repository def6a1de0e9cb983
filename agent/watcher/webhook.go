package watcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhook is a URL that is sent the view. The header X-Consul-Index has the index.
type Webhook struct {
	URL        string
	Method     string
	Timeout    time.Duration
	Header     http.Header
	SkipVerify bool // believe whoever answers over TLS
}

// String names the URL, without a password.
func (h *Webhook) String() string {
	if u, err := url.Parse(h.URL); err == nil {
		return u.Redacted()
	}
	return h.URL
}

// Handle implements Handler. Each change has a connection of its own, since they may be days apart.
func (h *Webhook) Handle(ctx context.Context, c Change) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, h.Method, h.URL, bytes.NewReader(append(bytes.Clone(c.JSON), '\n')))
	if err != nil {
		return err
	}
	req.Header = h.Header.Clone()
	req.Host = h.Header.Get("Host") // net/http takes it from here alone
	req.Header.Set("Content-Type", "application/json")
	if c.Hash == "" {
		req.Header.Set("X-Consul-Index", strconv.FormatUint(c.Index, 10))
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: h.SkipVerify},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, keptOutput))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("%s %s: %s: %s", h.Method, h, resp.Status, strings.TrimSpace(string(text)))
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", h.Method, h, err)
	}
	return nil
}
