package http

import (
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/agent/telemetry"
	"github.com/parleymesh/parley/api"
)

// A handler carries out a request. What it returns is encoded: see respond.
type handler func(r *request) (any, error)

// A route is an endpoint. A path that ends in a slash stands for all beneath it that no longer path stands for.
type route struct {
	path    string
	methods []method
	timers  []telemetry.Timer // one for each method
}

type method struct {
	name   string
	do     handler
	hidden bool // it is there to refuse in its own way
}

func get(do handler) method  { return method{name: http.MethodGet, do: do} }
func put(do handler) method  { return method{name: http.MethodPut, do: do} }
func post(do handler) method { return method{name: http.MethodPost, do: do} }
func del(do handler) method  { return method{name: http.MethodDelete, do: do} }

// unlisted keeps a method out of the Allow header.
func unlisted(m method) method {
	m.hidden = true
	return m
}

func on(path string, methods ...method) route { return route{path: path, methods: methods} }

// table is every endpoint there is.
func table() map[string]*route {
	t := map[string]*route{}
	for _, r := range slices.Concat(statusRoutes, catalogRoutes, healthRoutes,
		agentRoutes, agentServiceRoutes, agentCheckRoutes, agentHealthRoutes, meshRoutes,
		operatorRoutes, keyringRoutes, kvRoutes, sessionRoutes, txnRoutes, caRoutes, configEntryRoutes, chainRoutes, intentionRoutes, queryRoutes, eventRoutes, coordinateRoutes, snapshotRoutes) {
		r.timers = make([]telemetry.Timer, len(r.methods))
		t[r.path] = &r
	}
	return t
}

// allow lists the methods as the Allow header does.
func (rt *route) allow() string {
	names := []string{http.MethodOptions}
	for _, m := range rt.methods {
		if !m.hidden {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ",")
}

// maxSlashes is how deep the longest path of a route is; what comes after may be a key with any number of slashes.
const maxSlashes = 8

// find returns the route of an escaped path and what follows the route's own path.
func (s *Server) find(escaped string) (rt *route, rest string) {
	if rt := s.routes[escaped]; rt != nil && !strings.HasSuffix(escaped, "/") {
		return rt, ""
	}
	for i, n := 0, 0; n < maxSlashes; n++ {
		j := strings.IndexByte(escaped[i:], '/')
		if j < 0 {
			break
		}
		i += j + 1
		if found := s.routes[escaped[:i]]; found != nil {
			rt, rest = found, escaped[i:]
		}
	}
	return rt, rest
}

// serve is the way of every request.
func (s *Server) serve(w http.ResponseWriter, hr *http.Request) {
	began := time.Now()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // set for the connection's last answer
	defer s.contain(w, hr)
	for k, v := range s.opts.Headers {
		w.Header().Set(k, v)
	}
	if tooMany(hr.Context()) {
		w.Header().Set("Connection", "close")
		writeError(w, s.refuse(hr, "connections", api.Errorf(http.StatusTooManyRequests,
			"too many connections from this address, %d are allowed; reuse connections, or raise limits.http_max_conns_per_client", s.conns.bound())))
		return
	}
	if err := s.checkHeader(hr); err != nil {
		writeError(w, err)
		return
	}
	escaped := hr.URL.EscapedPath()
	if to := s.redirect(escaped); to != "" {
		redirect(w, hr, to, http.StatusTemporaryRedirect)
		return
	}
	if rt, rest := s.find(escaped); rt != nil {
		s.endpoint(w, hr, rt, rest)
	} else {
		s.elsewhere(w, hr)
	}
	s.log.Debug("request", "method", hr.Method, "path", hr.URL.Path, "from", hr.RemoteAddr, "took", time.Since(began))
}

// contain keeps a panic to the request that it happened in.
func (s *Server) contain(w http.ResponseWriter, hr *http.Request) {
	p := recover()
	switch p {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(p)
	}
	s.log.Error("panic while answering a request; this is a fault in Parley", "method", hr.Method, "path", hr.URL.Path,
		"err", fmt.Sprint(p), "stack", string(debug.Stack()))
	writeError(w, api.Errorf(http.StatusInternalServerError, "internal fault while answering; the agent's log has the details"))
}

// redirect returns where a path leads that is not clean, or that lacks the slash of its route; otherwise nothing. Escaped
// slashes belong to a name and are left alone, and so is all of a key: a//b and a/../b are keys like any other.
func (s *Server) redirect(escaped string) string {
	if strings.HasPrefix(escaped, keyPath) {
		return ""
	}
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	if clean != escaped {
		return clean
	}
	if s.routes[escaped] == nil && s.routes[escaped+"/"] != nil {
		return escaped + "/"
	}
	if escaped == "/ui" && s.opts.UI != nil {
		return "/ui/"
	}
	return ""
}

// redirect sends the client to another path with the same query.
func redirect(w http.ResponseWriter, hr *http.Request, to string, status int) {
	if hr.URL.RawQuery != "" {
		to += "?" + hr.URL.RawQuery
	}
	http.Redirect(w, hr, to, status)
}

// elsewhere answers what is no endpoint of the API.
func (s *Server) elsewhere(w http.ResponseWriter, hr *http.Request) {
	switch p := hr.URL.Path; {
	case p == "/" && s.opts.UI != nil:
		redirect(w, hr, "/ui/", http.StatusMovedPermanently)
	case strings.HasPrefix(p, "/ui/") && s.opts.UI != nil:
		s.opts.UI.ServeHTTP(w, hr)
	case strings.HasPrefix(p, "/debug/pprof") && !s.opts.Debug:
		writeError(w, api.Errorf(http.StatusNotFound, "Invalid URL path: profiles are served when enable_debug = true is in the agent's configuration\n"))
	case strings.HasPrefix(p, "/debug/pprof/"):
		s.profile(w, hr)
	case strings.HasPrefix(p, "/v1/"):
		if what, yes := isLater(p); yes {
			writeError(w, api.Errorf(http.StatusNotFound, "%s is not in this release yet; see website/docs/compatibility.md", what))
			return
		}
		writeError(w, api.Errorf(http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint\n"))
	default:
		writeError(w, api.Errorf(http.StatusNotFound,
			"Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"))
	}
}

// endpoint answers a request to one of the API's endpoints.
func (s *Server) endpoint(w http.ResponseWriter, hr *http.Request, rt *route, rest string) {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	if s.opts.DefaultACLPolicy != "" {
		h.Set("X-Consul-Default-ACL-Policy", s.opts.DefaultACLPolicy)
	}
	do, timer, err := s.admit(w, hr, rt)
	if err != nil {
		writeError(w, err)
		return
	}
	if timer != nil {
		began := telemetry.Now()
		defer func() { timer.ObserveSince(began) }()
	}
	r, err := s.newRequest(w, hr, rest)
	if err == nil {
		_, err = r.place() // for what this agent answers itself as well
	}
	if err != nil {
		writeError(w, err)
		return
	}
	v, err := do(r)
	if hr.Context().Err() != nil {
		return // nobody is there to read the answer
	}
	if err == nil {
		err = r.respond(v)
	}
	if err != nil {
		s.log.Debug("request refused", "method", hr.Method, "path", hr.URL.Path, "from", hr.RemoteAddr, "err", err)
		writeError(w, err)
	}
}

// admit finds what answers the request's method, and counts how long that takes.
func (s *Server) admit(w http.ResponseWriter, hr *http.Request, rt *route) (handler, *telemetry.Timer, error) {
	for _, prefix := range s.opts.BlockEndpoints {
		if strings.HasPrefix(hr.URL.Path, prefix) {
			return nil, nil, api.Errorf(http.StatusForbidden, "Endpoint is blocked by agent configuration: http_config.block_endpoints has %q", prefix)
		}
	}
	if hr.Method == http.MethodOptions {
		w.Header().Set("Allow", rt.allow())
		return func(*request) (any, error) { return nil, nil }, nil, nil
	}
	i := slices.IndexFunc(rt.methods, func(m method) bool { return m.name == hr.Method })
	if i < 0 {
		w.Header().Set("Allow", rt.allow())
		return nil, nil, api.Errorf(http.StatusMethodNotAllowed, "method %s not allowed", hr.Method)
	}
	if hr.Method != http.MethodGet && !s.mayWriteFrom(hr.RemoteAddr) {
		return nil, nil, api.Errorf(http.StatusForbidden, "Access is restricted: http_config.allow_write_http_from does not list %s", hr.RemoteAddr)
	}
	return rt.methods[i].do, &rt.timers[i], nil
}

// mayWriteFrom tells whether a change may come from the address. Who can open the Unix socket is the file system's matter.
func (s *Server) mayWriteFrom(remote string) bool {
	addr, ok := addrOf(remote)
	return len(s.opts.AllowWriteFrom) == 0 || !ok ||
		slices.ContainsFunc(s.opts.AllowWriteFrom, func(p netip.Prefix) bool { return p.Contains(addr) })
}
