package envoy

import (
	"encoding/json"
	"fmt"
	"maps"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	fileaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/parleymesh/parley/api"
)

// defaultLog is what is logged of a connection when no format is given. A caller that fails in the handshake is named by its
// certificate, with the reason; one that passes, by the rule that let it.
var defaultLog = map[string]any{
	"start_time":         "%START_TIME%",
	"listener":           "",
	"caller":             "%DOWNSTREAM_PEER_URI_SAN%",
	"caller_address":     "%DOWNSTREAM_REMOTE_ADDRESS%",
	"tls_failure":        "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
	"rule":               "%DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_effective_policy_id)%",
	"termination":        "%CONNECTION_TERMINATION_DETAILS%",
	"response_flags":     "%RESPONSE_FLAGS%",
	"upstream_host":      "%UPSTREAM_HOST%",
	"upstream_cluster":   "%UPSTREAM_CLUSTER%",
	"upstream_failure":   "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"bytes_received":     "%BYTES_RECEIVED%",
	"bytes_sent":         "%BYTES_SENT%",
	"duration":           "%DURATION%",
	"requested_sni":      "%REQUESTED_SERVER_NAME%",
	"connection_id":      "%CONNECTION_ID%",
	"downstream_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
}

// requestLog is what is logged of a request when no format is given. The rule is the one that decided, with what it
// decided if that was to deny.
var requestLog = map[string]any{
	"start_time":            "%START_TIME%",
	"listener":              "",
	"caller":                "%DOWNSTREAM_PEER_URI_SAN%",
	"caller_address":        "%DOWNSTREAM_REMOTE_ADDRESS%",
	"rule":                  "%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_effective_policy_id)%",
	"method":                "%REQ(:METHOD)%",
	"path":                  "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	"protocol":              "%PROTOCOL%",
	"authority":             "%REQ(:AUTHORITY)%",
	"user_agent":            "%REQ(USER-AGENT)%",
	"request_id":            "%REQ(X-REQUEST-ID)%",
	"x_forwarded_for":       "%REQ(X-FORWARDED-FOR)%",
	"response_code":         "%RESPONSE_CODE%",
	"response_code_details": "%RESPONSE_CODE_DETAILS%",
	"response_flags":        "%RESPONSE_FLAGS%",
	"attempts":              "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	"upstream_host":         "%UPSTREAM_HOST%",
	"upstream_cluster":      "%UPSTREAM_CLUSTER%",
	"upstream_failure":      "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
	"bytes_received":        "%BYTES_RECEIVED%",
	"bytes_sent":            "%BYTES_SENT%",
	"duration":              "%DURATION%",
	"connection_id":         "%CONNECTION_ID%",
	"downstream_address":    "%DOWNSTREAM_LOCAL_ADDRESS%",
}

// connectionLogs returns the log of a listener's connections as the proxy's registration asks for it, or none: of all its
// connections, or, if it wants no logs of listeners, of those that a filter took.
func connectionLogs(p *api.Proxy, name string) (listener, filter []*accesslogv3.AccessLog, err error) {
	logs, err := accessLogs(p, name, defaultLog)
	if p != nil && p.AccessLogs.DisableListenerLogs {
		return nil, logs, err
	}
	return logs, nil, err
}

// requestLogs returns the log of a connection manager's requests as the proxy's registration asks for it, or none.
func requestLogs(p *api.Proxy, listener string) ([]*accesslogv3.AccessLog, error) {
	return accessLogs(p, listener, requestLog)
}

func accessLogs(p *api.Proxy, listener string, fields map[string]any) ([]*accesslogv3.AccessLog, error) {
	if p == nil || !p.AccessLogs.Enabled {
		return nil, nil
	}
	format, err := logFormat(p.AccessLogs, listener, fields)
	if err != nil {
		return nil, fmt.Errorf("access log of %s: %w", listener, err)
	}
	var name string
	var config proto.Message
	switch p.AccessLogs.Type {
	case "file":
		name = "envoy.access_loggers.file"
		config = &fileaccesslogv3.FileAccessLog{
			Path: p.AccessLogs.Path, AccessLogFormat: &fileaccesslogv3.FileAccessLog_LogFormat{LogFormat: format},
		}
	case "stderr":
		name = "envoy.access_loggers.stderr"
		config = &streamaccesslogv3.StderrAccessLog{AccessLogFormat: &streamaccesslogv3.StderrAccessLog_LogFormat{LogFormat: format}}
	default:
		name = "envoy.access_loggers.stdout"
		config = &streamaccesslogv3.StdoutAccessLog{AccessLogFormat: &streamaccesslogv3.StdoutAccessLog_LogFormat{LogFormat: format}}
	}
	return []*accesslogv3.AccessLog{{
		Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: mustAny(config)},
	}}, nil
}

func logFormat(logs api.AccessLogs, listener string, standard map[string]any) (*corev3.SubstitutionFormatString, error) {
	if logs.TextFormat != "" {
		return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
			TextFormatSource: inline(logs.TextFormat + "\n"),
		}}, nil
	}
	fields := map[string]any{}
	if logs.JSONFormat != "" {
		if err := json.Unmarshal([]byte(logs.JSONFormat), &fields); err != nil {
			return nil, fmt.Errorf("JSONFormat is not a JSON object: %w", err)
		}
	} else {
		maps.Copy(fields, standard)
		fields["listener"] = listener
	}
	format, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("JSONFormat: %w", err)
	}
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format}}, nil
}
