package configentry

import (
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// This file judges the parts of HTTP that several kinds of entry speak of.

func checkMethod(path, method string) error {
	if !slices.Contains(state.HTTPMethods, method) {
		return refusal("%s contains an invalid method %q: use %s", path, method, strings.Join(state.HTTPMethods, ", "))
	}
	return nil
}

// checkPathMatch wants at most one way to match the path, and one that can match.
func checkPathMatch(path, exact, prefix, regex string) error {
	if count(exact != "", prefix != "", regex != "") > 1 {
		return refusal("%s should only contain at most one of PathExact, PathPrefix, or PathRegex", path)
	}
	return checks(
		checkStart(path+".PathExact", exact),
		checkStart(path+".PathPrefix", prefix),
		checkRegex(path+".PathRegex", regex),
	)
}

// checkHeaderName takes the characters of a header's name, and those of HTTP/2's own headers where those may stand.
func checkHeaderName(path, name string, own bool) error {
	if name == "" {
		return refusal("%s is required", path)
	}
	rest := name
	if own {
		rest = strings.TrimPrefix(rest, ":")
	}
	if !httpguts.ValidHeaderFieldName(rest) {
		return refusal("%s %q is no name of a header", path, name)
	}
	return nil
}

// checkModifiers judges changes of headers as Envoy does.
func checkModifiers(path string, m *api.HeaderModifiers) error {
	if m == nil {
		return nil
	}
	for _, f := range []struct {
		name   string
		values map[string]string
	}{{"Add", m.Add}, {"Set", m.Set}} {
		for _, header := range sorted(f.values) {
			place := path + "." + f.name
			if err := checkModified(place, header); err != nil {
				return err
			}
			if err := checkHeaderValue(place+"."+header, f.values[header]); err != nil {
				return err
			}
		}
	}
	for _, header := range m.Remove {
		if err := checkModified(path+".Remove", header); err != nil {
			return err
		}
	}
	return nil
}

func checkModified(path, header string) error {
	if strings.EqualFold(header, "host") || strings.HasPrefix(header, ":") {
		return refusal("%s: the header %q cannot be changed; Envoy allows it for none that begins with a colon, and not for Host", path, header)
	}
	return checkHeaderName(path, header, false)
}

// checkHeaderValue refuses what Envoy refuses: a value may name variables between percent signs, and one that stands alone
// begins a variable that has no end.
func checkHeaderValue(path, value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return refusal("%s has a control character in its value", path)
	}
	if strings.Count(value, "%")%2 != 0 {
		return refusal("%s: the value %q has a percent sign that stands alone; write %%%% for the sign itself", path, value)
	}
	return nil
}

// retryConditions are those of Envoy, for HTTP and for gRPC.
var retryConditions = []string{
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx", "refused-stream",
	"http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}

func checkRetries(path string, conditions []string, codes []uint32) error {
	for _, c := range conditions {
		if !slices.Contains(retryConditions, c) {
			return refusal("%s.RetryOn contains an invalid retry condition: %q; use %s", path, c, strings.Join(retryConditions, ", "))
		}
	}
	for _, code := range codes {
		if code < 100 || code > 599 {
			return refusal("%s.RetryOnStatusCodes: %d is no status of HTTP: 100 to 599", path, code)
		}
	}
	return nil
}
