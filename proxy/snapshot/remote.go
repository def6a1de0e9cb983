package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// RemoteOptions say which agent to ask.
type RemoteOptions struct {
	// Agent is the agent's HTTP address as a URL, such as http://127.0.0.1:8500.
	Agent string
	HTTP  *http.Client // nil: the default one; it must not bound how long an answer may take
	// Wait is how long one poll may take; zero: a minute.
	Wait   time.Duration
	Logger *slog.Logger // nil: none
}

// The header that tells a snapshot's hash, and the most that is read of one.
const (
	HashHeader  = "X-Consul-Contenthash"
	maxSnapshot = 256 << 20
	maxRefusal  = 4 << 10
)

// Remote is a Source that asks an agent over HTTP, for a proxy outside the agent's process.
type Remote struct {
	o    RemoteOptions
	log  *slog.Logger
	base string
}

// NewRemote returns a source that asks an agent.
func NewRemote(o RemoteOptions) (*Remote, error) {
	u, err := url.Parse(o.Agent)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("agent address %q: want a URL such as http://127.0.0.1:8500", o.Agent)
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Wait <= 0 {
		o.Wait = time.Minute
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Remote{o: o, log: log.With("component", "snapshot"), base: strings.TrimRight(o.Agent, "/")}, nil
}

// Subscribe implements Source.
func (r *Remote) Subscribe(_ context.Context, proxyID, token string) (Stream, error) {
	s := &remoteStream{remote: r, proxyID: proxyID, token: token}
	s.closed, s.close = context.WithCancel(context.Background())
	return s, nil
}

// remoteStream polls for one proxy. It has no goroutine: it asks when it is asked.
type remoteStream struct {
	remote         *Remote
	proxyID, token string
	hash           string
	wait           time.Duration // before the next poll, after failures

	closed context.Context
	close  context.CancelFunc
}

// Close implements Stream.
func (s *remoteStream) Close() { s.close() }

// Next implements Stream. An agent that is away is asked again until it is back.
func (s *remoteStream) Next(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	for {
		began := time.Now()
		next, err := s.poll(ctx)
		if err == nil && next == nil && time.Since(began) < minRetry {
			err = errors.New("the agent answers with nothing new and does not wait")
		}
		switch {
		case s.closed.Err() != nil:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrDenied):
			return nil, err
		case err == nil:
			s.wait = 0
			if next != nil {
				return next, nil
			}
			continue
		}
		s.wait = min(max(2*s.wait, minRetry), maxRetry)
		s.remote.log.Warn("the agent does not answer for the proxy's configuration; the last one stays in force", "proxy", s.proxyID, "err", err)
		select {
		case <-time.After(s.wait/2 + rand.N(s.wait)):
		case <-ctx.Done():
		}
	}
}

// poll returns a snapshot, or nothing if there is no other than the last.
func (s *remoteStream) poll(ctx context.Context) (*Snapshot, error) {
	// An agent that stops answering altogether is found out a while after the poll should have ended.
	ctx, cancel := context.WithTimeout(ctx, s.remote.o.Wait+s.remote.o.Wait/8+10*time.Second)
	defer cancel()
	params := url.Values{"wait": {s.remote.o.Wait.String()}}
	if s.hash != "" {
		params.Set("hash", s.hash)
	}
	target := s.remote.base + "/v1/agent/connect/proxy/" + url.PathEscape(s.proxyID) + "?" + params.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if s.token != "" {
		req.Header.Set("X-Consul-Token", s.token)
	}
	resp, err := s.remote.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return s.read(resp)
	case http.StatusNoContent, http.StatusNotModified:
		return nil, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	err = fmt.Errorf("the agent answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized {
		err = fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return nil, err
}

func (s *remoteStream) read(resp *http.Response) (*Snapshot, error) {
	hash := resp.Header.Get(HashHeader)
	if hash == "" {
		return nil, fmt.Errorf("the agent's answer has no %s; is %s the address of a Parley agent?", HashHeader, s.remote.o.Agent)
	}
	if hash == s.hash {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxSnapshot))
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSnapshot+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxSnapshot {
		return nil, fmt.Errorf("the agent's answer has more than %d bytes", maxSnapshot)
	}
	next := &Snapshot{}
	if err := json.Unmarshal(body, next); err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	if next.ProxyID != s.proxyID {
		return nil, fmt.Errorf("the agent answered for proxy %q in place of %q", next.ProxyID, s.proxyID)
	}
	s.hash = hash
	return next, nil
}
