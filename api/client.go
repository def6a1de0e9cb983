package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// An answer is read up to these sizes in bytes, so that whatever answers cannot fill the caller's memory. The larger
// holds a service of some hundred thousand instances.
const (
	maxAnswer = 256 << 20
	maxError  = 64 << 10
)

// Client talks to an agent's HTTP API. It is safe for concurrent use. Its methods are grouped: c.KV().Get(...).
type Client struct {
	base      url.URL // scheme and host of the agent
	socket    bool    // a Unix socket on this host
	shown     string  // the address as errors show it
	variable  string  // what they advise to set for another one
	http      *http.Client
	token     string
	user      *url.Userinfo
	namespace string
	partition string
	dc        string
}

// Close closes idle connections. Requests under way end by their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the agent's address as the base of its URLs. Where it is a Unix socket, only HTTP finds the way there.
func (c *Client) URL() string { return c.base.String() }

// HTTP returns what the client sends its requests by, for calls of the API that it has no method for. They need the token.
func (c *Client) HTTP() *http.Client { return c.http }

// Token returns the token that requests carry unless their options name another.
func (c *Client) Token() string { return c.token }

// Host returns the host that the agent is on, as a name or an address.
func (c *Client) Host() string {
	host := c.base.Hostname()
	if ip := net.ParseIP(host); c.socket || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// A request is one call of the API.
type request struct {
	method string
	path   string // escaped, from "/v1/"
	params url.Values
	token  string
	body   any       // []byte and io.Reader as they are, anything else as JSON, nil for none
	fine   int       // a status other than 2xx whose answer is no error
	warned *[]string // where to put what the answer warns of
}

// do sends a request and decodes the answer into out, if out is not nil. An answer other than 2xx is an *Error with its
// status and the server's message. The Meta is valid also with an *Error: a blocking query for what is absent needs it.
func (c *Client) do(ctx context.Context, r request, out any) (Meta, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return Meta{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Meta{}, c.unreachable(ctx, r, err)
	}
	defer resp.Body.Close()
	meta := metaOf(resp.Header)
	if (resp.StatusCode < 200 || resp.StatusCode > 299) && resp.StatusCode != r.fine {
		return meta, answeredError(resp)
	}
	if r.warned != nil {
		*r.warned = warningsOf(resp.Header)
	}
	body := &boundedReader{r: resp.Body, left: maxAnswer}
	if err := decodeAnswer(body, out); err != nil {
		return meta, fmt.Errorf("read the answer to %s %s: %w", r.method, r.path, err)
	}
	return meta, nil
}

// stream copies an answer that has no end to w, until the agent ends it.
func (c *Client) stream(ctx context.Context, r request, w io.Writer) error {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, r, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answeredError(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", r.method, r.path, err)
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	body, contentType, err := encodeBody(r.body)
	if err != nil {
		return nil, fmt.Errorf("encode the body of %s %s: %w", r.method, r.path, err)
	}
	target := c.base.String() + r.path
	if len(r.params) > 0 {
		target += "?" + r.params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token := firstOf(r.token, c.token); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	if c.user != nil {
		password, _ := c.user.Password()
		req.SetBasicAuth(c.user.Username(), password)
	}
	return req, nil
}

func encodeBody(body any) (io.Reader, string, error) {
	switch body := body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return bytes.NewReader(body), "application/octet-stream", nil
	case io.Reader:
		return body, "application/octet-stream", nil
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, "", err
	}
	return bytes.NewReader(data), "application/json", nil
}

// unreachable words an error of the transport. What the caller did (cancel, deadline) stays as it is.
func (c *Client) unreachable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, ctx.Err())
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, whose query may hold what is not for logs
	}
	return fmt.Errorf("cannot reach the agent at %s (%w); is it running there? "+
		"%s or, on the command line, -http-addr names another address", c.shown, err, c.variable)
}

func answeredError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	message := strings.TrimSpace(string(text))
	if err != nil || message == "" {
		message = http.StatusText(resp.StatusCode)
	}
	return &Error{Status: resp.StatusCode, Message: message}
}

// decodeAnswer reads the whole body, so that the connection can be used again. A *[]byte takes it as it is.
func decodeAnswer(body io.Reader, out any) error {
	switch out := out.(type) {
	case nil:
		_, err := io.Copy(io.Discard, body)
		return err
	case *[]byte:
		data, err := io.ReadAll(body)
		*out = data
		return err
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// boundedReader fails, in contrast to io.LimitReader, when there is more than it may read: a cut answer must not pass
// for a whole one.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return 0, fmt.Errorf("it is larger than %d bytes", int64(maxAnswer))
	}
	return n, err
}

// read is a GET that decodes into T.
func read[T any](ctx context.Context, c *Client, path string, q *QueryOptions, params url.Values) (T, Meta, error) {
	var out T
	meta, err := c.do(ctx, request{
		method: http.MethodGet, path: path, params: c.queryParams(q, params), token: q.token(),
	}, &out)
	return out, meta, err
}

// write sends a body and decodes the answer into out, if out is not nil.
func (c *Client) write(ctx context.Context, method, path string, w *WriteOptions, params url.Values, body, out any) error {
	_, err := c.do(ctx, request{
		method: method, path: path, params: c.writeParams(w, params), token: w.token(), body: body,
	}, out)
	return err
}

// orAbsent turns the answer "not found" into no error.
func orAbsent(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return nil
	}
	return err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
