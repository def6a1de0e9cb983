package envoy

import (
	"encoding/json"
	"fmt"

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

// accessLogs returns the log of a listener's connections as the proxy's registration asks for it, or none.
func accessLogs(p *api.Proxy, listener string) ([]*accesslogv3.AccessLog, error) {
	if p == nil || !p.AccessLogs.Enabled || p.AccessLogs.DisableListenerLogs {
		return nil, nil
	}
	format, err := logFormat(p.AccessLogs, listener)
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

func logFormat(logs api.AccessLogs, listener string) (*corev3.SubstitutionFormatString, error) {
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
		for k, v := range defaultLog {
			fields[k] = v
		}
		fields["listener"] = listener
	}
	format, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("JSONFormat: %w", err)
	}
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format}}, nil
}
