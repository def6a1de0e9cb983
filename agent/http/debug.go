package http

import (
	"net/http"
	"net/http/pprof"
	"net/url"

	"github.com/parleymesh/parley/api"
)

// profile serves the profiles of the runtime, to operators.
func (s *Server) profile(w http.ResponseWriter, hr *http.Request) {
	w.Header().Set("Vary", "Accept-Encoding")
	r := &request{Request: hr, s: s, w: w, params: url.Values{"token": {hr.URL.Query().Get("token")}}}
	if err := r.need("operator", "", api.Read); err != nil {
		writeError(w, err)
		return
	}
	switch hr.URL.Path {
	case "/debug/pprof/cmdline":
		pprof.Cmdline(w, hr)
	case "/debug/pprof/profile":
		pprof.Profile(w, hr)
	case "/debug/pprof/symbol":
		pprof.Symbol(w, hr)
	case "/debug/pprof/trace":
		pprof.Trace(w, hr)
	default:
		pprof.Index(w, hr)
	}
}
