package check

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/parleymesh/parley/api"
)

// ScriptPolicy says whose scripts an agent runs.
type ScriptPolicy uint8

const (
	NoScripts   ScriptPolicy = iota // nobody's
	FileScripts                     // those of its own configuration files
	AllScripts                      // also those registered through the API
)

// Validate tells whether a check can be run. The error names the field and, except for what this agent does not do, has status
// 400. fromFile tells that the definition comes from a configuration file rather than through the API.
func Validate(def *api.CheckDefinition, scripts ScriptPolicy, fromFile bool) error {
	if def.Status != "" && !api.ValidStatus(def.Status) {
		return api.Errorf(http.StatusBadRequest, "Bad check status %q; it is one of passing, warning and critical", def.Status)
	}
	if err := validateScript(def, scripts, fromFile); err != nil {
		return err
	}
	if err := validateKind(def); err != nil {
		return err
	}
	if KindOf(def) == KindOSService {
		return api.Errorf(http.StatusInternalServerError, "OSService checks are not implemented; use a script or TTL check for that service")
	}
	if err := validateTarget(def); err != nil {
		return err
	}
	return validateNumbers(def)
}

func invalid(format string, args ...any) error {
	return api.Errorf(http.StatusBadRequest, "Invalid check: "+format, args...)
}

func validateScript(def *api.CheckDefinition, scripts ScriptPolicy, fromFile bool) error {
	if len(def.Args) == 0 && def.DockerContainerID == "" {
		if def.Shell != "" {
			return invalid("Shell is given without Args and DockerContainerID")
		}
		return nil
	}
	switch {
	case scripts == NoScripts && fromFile:
		return api.Errorf(http.StatusInternalServerError, "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true")
	case scripts != AllScripts && !fromFile:
		return api.Errorf(http.StatusInternalServerError, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true")
	case def.DockerContainerID != "":
		return invalid("DockerContainerID is not supported; use Args with the command that enters the container")
	case def.Shell != "":
		return invalid("Shell belongs to docker checks; name the shell in Args if the command needs one")
	}
	return nil
}

// validateKind wants exactly one kind, and the interval or the TTL that goes with it.
func validateKind(def *api.CheckDefinition) error {
	if def.Interval != 0 && def.TTL != 0 {
		return invalid("Interval and TTL cannot both be specified")
	}
	var given []string
	for _, k := range kinds {
		if k.given(def) {
			given = append(given, k.field)
		}
	}
	if len(given) > 1 {
		return invalid("%s and %s cannot both be specified; a check is of one kind", given[0], given[1])
	}
	switch KindOf(def) {
	case KindTTL:
		if def.TTL <= 0 {
			return invalid("TTL must be > 0 for TTL checks")
		}
	case KindAlias:
		if def.Interval < 0 {
			return invalid("Interval must not be negative")
		}
	default:
		if def.Interval <= 0 {
			return invalid("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks")
		}
	}
	return nil
}

func validateTarget(def *api.CheckDefinition) error {
	switch KindOf(def) {
	case KindHTTP:
		return validateHTTP(def)
	case KindTCP:
		return validateHostPort("TCP", def.TCP)
	case KindUDP:
		return validateHostPort("UDP", def.UDP)
	case KindH2Ping:
		return validateHostPort("H2PING", def.H2PING)
	case KindGRPC:
		target, _ := splitGRPC(def.GRPC)
		return validateHostPort("GRPC", target)
	case KindScript:
		if strings.TrimSpace(def.Args[0]) == "" {
			return invalid("Args: the first element, the command, is empty")
		}
	}
	return nil
}

func validateHTTP(def *api.CheckDefinition) error {
	u, err := url.Parse(def.HTTP)
	if err != nil {
		return invalid("HTTP: %s", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return invalid("HTTP: %q is not a URL that begins with http:// or https://", def.HTTP)
	}
	if u.Hostname() == "" {
		return invalid("HTTP: %q names no host", def.HTTP)
	}
	if err := validatePort("HTTP", u.Port()); u.Port() != "" && err != nil {
		return err
	}
	if _, err := http.NewRequest(def.Method, def.HTTP, nil); err != nil {
		return invalid("Method or HTTP: %s", err)
	}
	return validateHeader(def.Header)
}

// validateHeader refuses what no request can be sent with: the check would be critical for ever.
func validateHeader(header map[string][]string) error {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return invalid("Header: %q cannot be the name of a header", name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return invalid("Header: the value %q of %q has characters that no header may have", value, name)
			}
		}
	}
	return nil
}

func validateHostPort(field, target string) error {
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" {
		return invalid("%s: %q is not host:port", field, target)
	}
	return validatePort(field, port)
}

func validatePort(field, port string) error {
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return invalid("%s: %q is not a port from 1 to 65535", field, port)
	}
	return nil
}

func validateNumbers(def *api.CheckDefinition) error {
	switch {
	case def.OutputMaxSize < 0:
		return invalid("MaxOutputMaxSize must be positive")
	case def.Timeout < 0:
		return invalid("Timeout must not be negative")
	case def.DeregisterCriticalServiceAfter < 0:
		return invalid("DeregisterCriticalServiceAfter must not be negative")
	case def.SuccessBeforePassing < 0:
		return invalid("SuccessBeforePassing must not be negative")
	case def.FailuresBeforeWarning < 0:
		return invalid("FailuresBeforeWarning must not be negative")
	case def.FailuresBeforeCritical < 0:
		return invalid("FailuresBeforeCritical must not be negative")
	case def.FailuresBeforeCritical > 0 && def.FailuresBeforeWarning > def.FailuresBeforeCritical:
		return invalid("FailuresBeforeWarning (%d) must not be above FailuresBeforeCritical (%d)", def.FailuresBeforeWarning, def.FailuresBeforeCritical)
	}
	return nil
}
