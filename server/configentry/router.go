package configentry

import (
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

func checkRouter(e *api.ServiceRouter) error { return at("Routes", e.Routes, checkRoute) }

func checkRoute(path string, r *api.ServiceRoute) error {
	rewritable := false
	if r.Match != nil && r.Match.HTTP != nil {
		h := r.Match.HTTP
		if err := checkRouteMatch(path+".Match.HTTP", h); err != nil {
			return err
		}
		rewritable = h.PathExact != "" || h.PathPrefix != ""
	}
	d := r.Destination
	if d == nil {
		return nil
	}
	path += ".Destination"
	if d.PrefixRewrite != "" && !rewritable {
		return refusal("%s.PrefixRewrite takes the place of what Match.HTTP.PathExact or PathPrefix matched; one of them must be set", path)
	}
	return checks(
		checkOptionalName(path+".Service", d.Service),
		checkSubsetName(path+".ServiceSubset", d.ServiceSubset),
		checkPlace(path, d.Namespace, d.Partition),
		checkStart(path+".PrefixRewrite", d.PrefixRewrite),
		checkDuration(path+".RequestTimeout", time.Duration(d.RequestTimeout)),
		checkDuration(path+".IdleTimeout", time.Duration(d.IdleTimeout)),
		checkRetries(path, d.RetryOn, d.RetryOnStatusCodes),
		checkModifiers(path+".RequestHeaders", d.RequestHeaders),
		checkModifiers(path+".ResponseHeaders", d.ResponseHeaders),
	)
}

func checkRouteMatch(path string, h *api.RouteHTTPMatch) error {
	if err := checkPathMatch(path, h.PathExact, h.PathPrefix, h.PathRegex); err != nil {
		return err
	}
	for i, m := range h.Methods {
		if err := checkMethod(path+".Methods", strings.ToUpper(m)); err != nil {
			return err
		}
		if slices.ContainsFunc(h.Methods[:i], func(before string) bool { return strings.EqualFold(before, m) }) {
			return refusal("%s.Methods contains %q more than once", path, m)
		}
	}
	if err := at(path+".Header", h.Header, checkRouteHeader); err != nil {
		return err
	}
	return at(path+".QueryParam", h.QueryParam, checkRouteQuery)
}

func checkRouteHeader(path string, h *api.RouteHeaderMatch) error {
	if count(h.Present, h.Exact != "", h.Prefix != "", h.Suffix != "", h.Regex != "") != 1 {
		return refusal("%s should contain exactly one of Present, Exact, Prefix, Suffix, or Regex", path)
	}
	return checks(checkHeaderName(path+".Name", h.Name, true), checkRegex(path+".Regex", h.Regex))
}

func checkRouteQuery(path string, q *api.RouteQueryMatch) error {
	if q.Name == "" {
		return refusal("%s.Name is required", path)
	}
	if count(q.Present, q.Exact != "", q.Regex != "") != 1 {
		return refusal("%s should contain exactly one of Present, Exact, or Regex", path)
	}
	return checkRegex(path+".Regex", q.Regex)
}

// normalizeRouter writes methods as HTTP has them.
func normalizeRouter(e *api.ServiceRouter) {
	for _, r := range e.Routes {
		if r.Match == nil || r.Match.HTTP == nil {
			continue
		}
		for i, m := range r.Match.HTTP.Methods {
			r.Match.HTTP.Methods[i] = strings.ToUpper(m)
		}
	}
}
