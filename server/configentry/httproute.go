package configentry

import (
	"time"

	"github.com/parleymesh/parley/api"
)

func checkHTTPRoute(e *api.HTTPRoute) error {
	for _, h := range e.Hostnames {
		if err := checkHost("Hostnames", h); err != nil {
			return err
		}
	}
	return checks(checkParents(e.Parents), at("Rules", e.Rules, checkHTTPRule))
}

func checkHTTPRule(path string, r *api.HTTPRouteRule) error {
	return checks(
		checkHTTPFilters(path+".Filters", &r.Filters),
		checkFilterHeaders(path+".ResponseFilters.Headers", r.ResponseFilters.Headers),
		at(path+".Matches", r.Matches, checkHTTPMatch),
		at(path+".Services", r.Services, func(path string, s *api.HTTPRouteService) error {
			return checks(
				checkServiceName(path+".Name", s.Name),
				checkNumber(path+".Weight", s.Weight),
				checkPlace(path, s.Namespace, s.Partition),
				checkLimits(path+".Limits", s.Limits),
				checkHTTPFilters(path+".Filters", &s.Filters),
				checkFilterHeaders(path+".ResponseFilters.Headers", s.ResponseFilters.Headers),
			)
		}),
	)
}

func checkHTTPMatch(path string, m *api.HTTPRouteMatch) error {
	if m.Method != "" {
		if err := checkMethod(path+".Method", m.Method); err != nil {
			return err
		}
	}
	if err := oneOf(path+".Path.Match", m.Path.Match, "exact", "prefix", "regex"); err != nil {
		return err
	}
	check := checkStart
	if m.Path.Match == "regex" {
		check = checkRegex
	}
	if err := check(path+".Path.Value", m.Path.Value); err != nil {
		return err
	}
	err := at(path+".Headers", m.Headers, func(path string, h *api.HTTPRouteValueMatch) error {
		return checks(checkHeaderName(path+".Name", h.Name, true), checkValueMatch(path, h, "exact", "prefix", "present", "regex", "suffix"))
	})
	if err != nil {
		return err
	}
	return at(path+".Query", m.Query, func(path string, q *api.HTTPRouteValueMatch) error {
		if q.Name == "" {
			return refusal("%s.Name is required", path)
		}
		return checkValueMatch(path, q, "exact", "present", "regex")
	})
}

func checkValueMatch(path string, m *api.HTTPRouteValueMatch, ways ...string) error {
	if m.Match == "" {
		return refusal("%s.Match is required", path)
	}
	if m.Match == "regex" {
		if err := checkRegex(path+".Value", m.Value); err != nil {
			return err
		}
	}
	return oneOf(path+".Match", m.Match, ways...)
}

func checkHTTPFilters(path string, f *api.HTTPRouteFilters) error {
	if err := checkFilterHeaders(path+".Headers", f.Headers); err != nil {
		return err
	}
	if u := f.URLRewrite; u != nil {
		if err := checkStart(path+".URLRewrite.Path", u.Path); err != nil {
			return err
		}
	}
	if r := f.RetryFilter; r != nil {
		if err := checkRetries(path+".RetryFilter", r.RetryOn, r.RetryOnStatusCodes); err != nil {
			return err
		}
	}
	if t := f.TimeoutFilter; t != nil {
		return checks(
			checkDuration(path+".TimeoutFilter.RequestTimeout", time.Duration(t.RequestTimeout)),
			checkDuration(path+".TimeoutFilter.IdleTimeout", time.Duration(t.IdleTimeout)),
		)
	}
	return nil
}

func checkFilterHeaders(path string, headers []api.HTTPRouteHeaders) error {
	return at(path, headers, func(path string, h *api.HTTPRouteHeaders) error {
		return checkModifiers(path, &api.HeaderModifiers{Add: h.Add, Set: h.Set, Remove: h.Remove})
	})
}
