package configentry

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/filter"
	"github.com/parleymesh/parley/server/state"
)

// validate judges an entry by itself. Its errors name the path of the field, counting lists in the order in which they
// were written.
func validate(e api.ConfigEntry) error {
	if e.EntryName() == "" {
		return refusal("Name is required")
	}
	if err := checkPlace("", e.Common().Namespace, e.Common().Partition); err != nil {
		return err
	}
	switch e := e.(type) {
	case *api.ServiceIntentions:
		return state.CheckIntentions(e)
	case *api.MeshEntry:
		return checkMesh(e)
	case *api.ProxyDefaults:
		return checkProxyDefaults(e)
	case *api.ExportedServices:
		return checkExportedServices(e)
	}
	if err := checkServiceName("Name", e.EntryName()); err != nil {
		return err
	}
	switch e := e.(type) {
	case *api.ServiceDefaults:
		return checkServiceDefaults(e)
	case *api.ServiceRouter:
		return checkRouter(e)
	case *api.ServiceSplitter:
		return checkSplitter(e)
	case *api.ServiceResolver:
		return checkResolver(e)
	case *api.JWTProvider:
		return checkJWTProvider(e)
	case *api.IngressGateway:
		return checkIngressGateway(e)
	case *api.TerminatingGateway:
		return checkTerminatingGateway(e)
	case *api.APIGateway:
		return checkAPIGateway(e)
	case *api.BoundAPIGateway:
		return refusal("a bound-api-gateway is what the servers make of an api-gateway and its routes; write those")
	case *api.HTTPRoute:
		return checkHTTPRoute(e)
	case *api.TCPRoute:
		return checkTCPRoute(e)
	case *api.InlineCertificate:
		return checkInlineCertificate(e)
	case *api.FileSystemCertificate:
		return checkFileSystemCertificate(e)
	case *api.SamenessGroup:
		// A group that groups nothing would be taken for a failover that is not there.
		return refusal("sameness-groups are an enterprise-only feature of the public API, which this release does not have yet; list targets in a service-resolver's Failover")
	}
	return refusal("a config entry of kind %q cannot be judged", e.EntryKind())
}

// at runs a check on every element of a list, with its path.
func at[T any](path string, list []T, check func(path string, v *T) error) error {
	for i := range list {
		if err := check(fmt.Sprintf("%s[%d]", path, i), &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// checks returns the first complaint. All of them are evaluated, so they must be able to stand alone.
func checks(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPlace refuses what this release could not keep apart.
func checkPlace(path, namespace, partition string) error {
	for _, f := range []struct{ name, value string }{{"Namespace", namespace}, {"Partition", partition}} {
		if f.value != "" && !strings.EqualFold(f.value, api.DefaultTenant) {
			return refusal("%s %q: this release knows only %q", join(path, f.name), f.value, api.DefaultTenant)
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// checkServiceName judges the name of a service, which is one and not all of them.
func checkServiceName(path, name string) error {
	if err := api.CheckName(path, name); err != nil {
		return refusal("%v", err)
	}
	if name == api.Wildcard {
		return refusal("%s: %q is no service; what is true of all proxies stands in proxy-defaults", path, name)
	}
	return nil
}

// checkOptionalName is checkServiceName for a name that may be left out.
func checkOptionalName(path, name string) error {
	if name == "" {
		return nil
	}
	return checkServiceName(path, name)
}

// checkSubsetName judges the name of a subset, which stands in front of a name of DNS and TLS.
func checkSubsetName(path, name string) error {
	if name == "" || api.DNSName(name) {
		return nil
	}
	return refusal("%s %q: a subset's name may have letters, digits and inner hyphens, and at most 63 of them", path, name)
}

// checkRegex takes the syntax of Go, which is that of Envoy (RE2).
func checkRegex(path, regex string) error {
	if _, err := regexp.Compile(regex); err != nil {
		return refusal("%s: %v", path, err)
	}
	return nil
}

// checkInstanceFilter judges an expression that selects instances of a service.
func checkInstanceFilter(path, text string) error {
	if text == "" {
		return nil
	}
	if _, err := filter.Compile(text, reflect.TypeFor[api.ServiceEntry]()); err != nil {
		return refusal("%s %q: %v", path, text, err)
	}
	return nil
}

// maxDuration is what Envoy's protobuf durations can hold.
const maxDuration = time.Duration(math.MaxInt64) / 2

func checkDuration(path string, d time.Duration) error {
	switch {
	case d < 0:
		return refusal("%s must not be negative, got %s", path, d)
	case d > maxDuration:
		return refusal("%s %s is longer than any proxy can count", path, d)
	}
	return nil
}

// checkNumber takes what Envoy can count.
func checkNumber(path string, n int) error {
	switch {
	case n < 0:
		return refusal("%s must not be negative, got %d", path, n)
	case n > math.MaxUint32:
		return refusal("%s %d is out of range: at most %d", path, n, uint32(math.MaxUint32))
	}
	return nil
}

func checkPercent(path string, n *uint32) error {
	if n != nil && *n > 100 {
		return refusal("%s %d is out of range: 0 to 100", path, *n)
	}
	return nil
}

// checkStart wants a path of HTTP, or nothing.
func checkStart(path, value string) error {
	if value != "" && !strings.HasPrefix(value, "/") {
		return refusal("%s doesn't start with '/': %q", path, value)
	}
	return nil
}

// count tells how many hold.
func count(are ...bool) int {
	n := 0
	for _, is := range are {
		if is {
			n++
		}
	}
	return n
}

func checkPort(path string, port int) error {
	if port < 1 || port > 65535 {
		return refusal("%s %d is out of range: 1 to 65535", path, port)
	}
	return nil
}

// oneOf takes the values and, for what is not set, the empty one.
func oneOf(path, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return refusal("%s %q is not known: use %s", path, value, strings.Join(values, ", "))
}
