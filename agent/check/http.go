package check

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/parleymesh/parley/api"
)

// httpProbe asks a URL. Any 2xx passes, 429 is a warning, and everything else is critical.
type httpProbe struct {
	method  string
	url     string
	shown   string // the URL without a password
	header  http.Header
	body    string
	maxBody int
	client  *http.Client
}

func newHTTPProbe(def *api.CheckDefinition, o Options) *httpProbe {
	p := &httpProbe{
		method:  def.Method,
		url:     def.HTTP,
		shown:   def.HTTP,
		header:  make(http.Header, len(def.Header)),
		body:    def.Body,
		maxBody: o.outputMaxSize(def),
	}
	if p.method == "" {
		p.method = http.MethodGet
	}
	for name, values := range def.Header {
		for _, v := range values {
			p.header.Add(name, v)
		}
	}
	if p.header.Get("User-Agent") == "" {
		p.header.Set("User-Agent", "Parley Health Check")
	}
	if p.header.Get("Accept") == "" {
		p.header.Set("Accept", "text/plain, text/*, */*")
	}
	if u, err := url.Parse(def.HTTP); err == nil && u.User != nil {
		p.shown = u.Redacted()
	}
	p.client = &http.Client{
		// Each run opens a connection of its own: a kept one would prove nothing about the next client.
		Transport: &http.Transport{
			DialContext:       o.Dial,
			TLSClientConfig:   o.tlsConfig(def, ""), // the name is each URL's own: there may be redirects
			ForceAttemptHTTP2: true,                 // which a TLSClientConfig would switch off
			DisableKeepAlives: true,
		},
	}
	if def.DisableRedirects {
		p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return p
}

func (p *httpProbe) Run(ctx context.Context) (status, output string) {
	var body io.Reader
	if p.body != "" {
		body = strings.NewReader(p.body)
	}
	req, err := http.NewRequestWithContext(ctx, p.method, p.url, body)
	if err != nil {
		return api.Critical, err.Error()
	}
	req.Header = p.header.Clone()
	// net/http takes the Host header from here alone.
	req.Host = p.header.Get("Host")
	resp, err := p.client.Do(req)
	if err != nil {
		return api.Critical, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(p.maxBody)))
	if err != nil {
		text = append(text, fmt.Sprintf(" (reading the body: %s)", err)...)
	}
	return httpStatus(resp.StatusCode), fmt.Sprintf("HTTP %s %s: %s Output: %s", p.method, p.shown, resp.Status, text)
}

func httpStatus(code int) string {
	switch {
	case code >= 200 && code < 300:
		return api.Passing
	case code == http.StatusTooManyRequests:
		return api.Warning
	}
	return api.Critical
}
