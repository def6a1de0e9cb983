package state

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// CheckIntentions tells what is wrong with the shape of an entry, naming the path of the field. It needs no state: legacy
// fields and the destination's protocol are the commands' to judge.
func CheckIntentions(e *api.ServiceIntentions) error {
	if e.Name == "" {
		return refuse("Name is required")
	}
	if err := checkIntentionName("Name", e.Name); err != nil {
		return err
	}
	if err := checkPlace("", e.Namespace, e.Partition); err != nil {
		return err
	}
	if len(e.Sources) == 0 {
		return refuse("At least one source must be specified: Sources is empty; to end all intentions of %q, delete the entry", e.Name)
	}
	if err := checkJWT("JWT", e.JWT); err != nil {
		return err
	}
	type identity struct{ name, peer string }
	seen := map[identity]bool{}
	for i := range e.Sources {
		s, path := &e.Sources[i], fmt.Sprintf("Sources[%d]", i)
		if err := checkSource(path, s, e.Name); err != nil {
			return err
		}
		id := identity{s.Name, s.Peer}
		if seen[id] {
			return refuse("%s defines %q more than once", path, s.Name)
		}
		seen[id] = true
	}
	return nil
}

func refuse(format string, args ...any) error {
	return api.Errorf(http.StatusInternalServerError, format, args...)
}

func checkIntentionName(path, name string) error {
	if name != api.Wildcard && strings.Contains(name, api.Wildcard) {
		return refuse("%s: wildcard character '*' cannot be used with partial values", path)
	}
	if strings.Contains(name, "/") {
		return refuse("%s %q: write the name alone; this release knows only the namespace %q", path, name, api.DefaultTenant)
	}
	if err := api.CheckName(path, name); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// checkPlace refuses what this release could not match, so that nobody believes it to be in force.
func checkPlace(path, namespace, partition string) error {
	if path != "" {
		path += "."
	}
	if plain(namespace) != "" {
		return refuse("%sNamespace %q: this release knows only the namespace %q", path, namespace, api.DefaultTenant)
	}
	if plain(partition) != "" {
		return refuse("%sPartition %q: this release knows only the partition %q", path, partition, api.DefaultTenant)
	}
	return nil
}

func checkSource(path string, s *api.SourceIntention, destination string) error {
	if s.Name == "" {
		return refuse("%s.Name is required", path)
	}
	if err := checkIntentionName(path+".Name", s.Name); err != nil {
		return err
	}
	if err := checkPlace(path, s.Namespace, s.Partition); err != nil {
		return err
	}
	if s.SamenessGroup != "" {
		return refuse("%s.SamenessGroup %q: sameness groups are not known to this release", path, s.SamenessGroup)
	}
	if s.Type != "" && s.Type != api.SourceConsul {
		return refuse("%s.Type must be set to 'consul'", path)
	}
	if len(s.Permissions) == 0 {
		return checkAction(path, s.Action)
	}
	if s.Action != "" {
		return refuse("%s.Action must be omitted if Permissions are specified", path)
	}
	if destination == api.Wildcard {
		return refuse("%s.Permissions cannot be specified on intentions with wildcarded destinations", path)
	}
	for i := range s.Permissions {
		if err := checkPermission(fmt.Sprintf("%s.Permissions[%d]", path, i), &s.Permissions[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkAction(path, action string) error {
	if action != api.Allow && action != api.Deny {
		return refuse("%s.Action must be set to 'allow' or 'deny'", path)
	}
	return nil
}

func checkPermission(path string, p *api.IntentionPermission) error {
	if err := checkAction(path, p.Action); err != nil {
		return err
	}
	if err := checkJWT(path+".JWT", p.JWT); err != nil {
		return err
	}
	if p.HTTP == nil {
		return refuse("%s.HTTP is required", path)
	}
	return checkHTTP(path+".HTTP", p.HTTP)
}

// checkJWT judges a requirement by itself. Whether its providers are there is CheckProviders' to say.
func checkJWT(path string, j *api.IntentionJWT) error {
	switch {
	case j == nil:
		return nil
	case len(j.Providers) == 0:
		return refuse("%s.Providers must not be empty", path)
	}
	for i, p := range j.Providers {
		if p.Name == "" {
			return refuse("%s.Providers[%d].Name is required", path, i)
		}
		for k, c := range p.VerifyClaims {
			if len(c.Path) == 0 || slices.Contains(c.Path, "") {
				return refuse("%s.Providers[%d].VerifyClaims[%d].Path must name the claim, and have no empty part", path, i, k)
			}
		}
	}
	return nil
}

// CheckProviders refuses intentions, which may be nil, that ask for tokens of a JWT provider that is not there.
func CheckProviders(e *api.ServiceIntentions, there func(name string) bool) error {
	if e == nil {
		return nil
	}
	check := func(path string, j *api.IntentionJWT) error {
		if j == nil {
			return nil
		}
		for i, p := range j.Providers {
			if !there(p.Name) {
				return refuse("%s.Providers[%d]: Referenced JWT Provider does not exist. Provider Name: %s", path, i, p.Name)
			}
		}
		return nil
	}
	if err := check("JWT", e.JWT); err != nil {
		return err
	}
	for i, s := range e.Sources {
		for k, p := range s.Permissions {
			if err := check(fmt.Sprintf("Sources[%d].Permissions[%d].JWT", i, k), p.JWT); err != nil {
				return err
			}
		}
	}
	return nil
}

// HasJWTProvider tells whether there is a JWT provider of the name.
func HasJWTProvider(tx *Tx, name string) bool {
	return ConfigEntry(tx, api.KindJWTProvider, name) != nil
}

// HTTPMethods are the methods that requests can be told apart by.
var HTTPMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect,
	http.MethodOptions, http.MethodTrace,
}

func checkHTTP(path string, h *api.IntentionHTTP) error {
	if count(h.PathExact != "", h.PathPrefix != "", h.PathRegex != "") > 1 {
		return refuse("%s should only contain at most one of PathExact, PathPrefix, or PathRegex", path)
	}
	for _, f := range []struct{ name, value string }{{"PathExact", h.PathExact}, {"PathPrefix", h.PathPrefix}} {
		if f.value != "" && !strings.HasPrefix(f.value, "/") {
			return refuse("%s.%s doesn't start with '/': %q", path, f.name, f.value)
		}
	}
	if err := checkRegex(path+".PathRegex", h.PathRegex); err != nil {
		return err
	}
	for i := range h.Header {
		if err := checkHeader(fmt.Sprintf("%s.Header[%d]", path, i), &h.Header[i]); err != nil {
			return err
		}
	}
	for i, m := range h.Methods {
		if !slices.Contains(HTTPMethods, m) {
			return refuse("%s.Methods contains an invalid method %q", path, m)
		}
		if slices.Contains(h.Methods[:i], m) {
			return refuse("%s.Methods contains %q more than once", path, m)
		}
	}
	if h.PathExact == "" && h.PathPrefix == "" && h.PathRegex == "" && len(h.Header) == 0 && len(h.Methods) == 0 {
		return refuse("%s should not be empty: it matches nothing; give a path, a header or a method", path)
	}
	return nil
}

func checkHeader(path string, h *api.IntentionHTTPHeader) error {
	if h.Name == "" {
		return refuse("%s.Name is required", path)
	}
	ways := count(h.Present, h.Exact != "", h.Prefix != "", h.Suffix != "", h.Contains != "", h.Regex != "")
	if ways != 1 {
		return refuse("%s should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex", path)
	}
	if h.IgnoreCase && (h.Present || h.Regex != "") {
		return refuse("%s.IgnoreCase has no meaning for Present or Regex", path)
	}
	return checkRegex(path+".Regex", h.Regex)
}

// checkRegex takes the syntax of Go, which is that of Envoy (RE2).
func checkRegex(path, regex string) error {
	if _, err := regexp.Compile(regex); err != nil {
		return refuse("%s: %v", path, err)
	}
	return nil
}

func count(are ...bool) int {
	n := 0
	for _, is := range are {
		if is {
			n++
		}
	}
	return n
}
