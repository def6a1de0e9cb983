package config

// deprecated maps keys of former releases to those that took their place. Their values are read as if they stood there.
var deprecated = map[string]string{
	"start_join":     "retry_join",
	"start_join_wan": "retry_join_wan",

	"ca_file":                "tls.defaults.ca_file",
	"ca_path":                "tls.defaults.ca_path",
	"cert_file":              "tls.defaults.cert_file",
	"key_file":               "tls.defaults.key_file",
	"tls_min_version":        "tls.defaults.tls_min_version",
	"tls_cipher_suites":      "tls.defaults.tls_cipher_suites",
	"verify_incoming":        "tls.defaults.verify_incoming",
	"verify_incoming_https":  "tls.https.verify_incoming",
	"verify_incoming_rpc":    "tls.internal_rpc.verify_incoming",
	"verify_outgoing":        "tls.defaults.verify_outgoing",
	"verify_server_hostname": "tls.internal_rpc.verify_server_hostname",

	"acl_datacenter":             "primary_datacenter",
	"acl_default_policy":         "acl.default_policy",
	"acl_down_policy":            "acl.down_policy",
	"acl_enable_key_list_policy": "acl.enable_key_list_policy",
	"acl_ttl":                    "acl.token_ttl",
	"enable_acl_replication":     "acl.enable_token_replication",
	"acl_master_token":           "acl.tokens.initial_management",
	"acl_agent_master_token":     "acl.tokens.agent_recovery",
	"acl_agent_token":            "acl.tokens.agent",
	"acl_token":                  "acl.tokens.default",
	"acl_replication_token":      "acl.tokens.replication",
	"acl.tokens.master":          "acl.tokens.initial_management",
	"acl.tokens.agent_master":    "acl.tokens.agent_recovery",

	"ui":                        "ui_config.enabled",
	"ui_content_path":           "ui_config.content_path",
	"http_api_response_headers": "http_config.response_headers",
}

// What is said of a known key that changes nothing. Silence is for a key that asks for what is always so here.
const (
	silent      = ""
	notYet      = "is accepted but has no effect yet"
	retired     = "is of a former release and has no effect; it can be removed"
	elsewhere   = "has no effect here: the reference's enterprise edition reads it"
	otherwiseBy = "has no effect here: Parley does this another way; it can be removed"
)

// inert lists the known keys without effect, whole blocks by their own name. A key that is also a field of Config
// is read and checked all the same, for when its user arrives.
var inert = map[string]string{
	// Read already, used later.
	"limits.request_limits":             notYet,
	"limits.rpc_client_timeout":         notYet, // each kind of request has its own, and a blocking one its wait
	"limits.rpc_rate":                   notYet,
	"limits.rpc_max_burst":              notYet,
	"locality":                          notYet,
	"ports.expose_min_port":             notYet,
	"ports.expose_max_port":             notYet,
	"xds.update_max_per_second":         notYet,
	"ui_config.dashboard_url_templates": notYet,
	"raft_logstore.wal":                 otherwiseBy, // a segment's size is what the guard of the disk reckons with
	"dns_config.use_cache":              silent,      // answers come from what a watch keeps current
	"dns_config.cache_max_age":          silent,

	"audit":                         notYet,
	"auto_config":                   notYet,
	"auto_encrypt":                  notYet,
	"check_deregister_interval_min": notYet,
	"check_reap_interval":           notYet,
	"connect.enable_mesh_gateway_wan_federation":       notYet,
	"connect.enable_serverless_plugin":                 notYet,
	"connect.ca_config_refresh":                        notYet,
	"partition":                                        notYet,
	"peering":                                          notYet,
	"primary_gateways":                                 notYet,
	"primary_gateways_interval":                        notYet,
	"read_replica":                                     notYet,
	"non_voting_server":                                notYet,
	"segment":                                          notYet,
	"segments":                                         notYet,
	"server_rejoin_age_max":                            notYet,
	"ui_config.content_path":                           notYet,
	"ui_config.dir":                                    notYet,
	"ui_dir":                                           notYet,
	"ui_config.metrics_provider":                       notYet,
	"ui_config.metrics_provider_files":                 notYet,
	"ui_config.metrics_provider_options_json":          notYet,
	"ui_config.metrics_proxy":                          notYet,
	"telemetry.enable_host_metrics":                    notYet,
	"telemetry.retry_failed_connection":                otherwiseBy,
	"telemetry.disable_per_tenancy_usage_metrics":      notYet,
	"tls.grpc.use_auto_cert":                           notYet,
	"telemetry.circonus_api_app":                       retired,
	"telemetry.circonus_api_token":                     retired,
	"telemetry.circonus_api_url":                       retired,
	"telemetry.circonus_broker_id":                     retired,
	"telemetry.circonus_broker_select_tag":             retired,
	"telemetry.circonus_check_display_name":            retired,
	"telemetry.circonus_check_force_metric_activation": retired,
	"telemetry.circonus_check_id":                      retired,
	"telemetry.circonus_check_instance_id":             retired,
	"telemetry.circonus_check_search_tag":              retired,
	"telemetry.circonus_check_tags":                    retired,
	"telemetry.circonus_submission_interval":           retired,
	"telemetry.circonus_submission_url":                retired,
	"telemetry.disable_compat_1.9":                     retired,

	"acl_enforce_version_8":                retired,
	"cloud":                                retired,
	"ui_config.hcp_enabled":                retired,
	"connect.sidecar_min_port":             retired,
	"connect.sidecar_max_port":             retired,
	"protocol":                             retired,
	"raft_protocol":                        retired,
	"tls_prefer_server_cipher_suites":      retired,
	"disable_anonymous_signature":          silent,
	"disable_update_check":                 silent,
	"enable_central_service_config":        silent,
	"disable_host_node_id":                 silent,
	"disable_http_unprintable_char_filter": retired,
	"experiments":                          retired,

	"license_path":                        elsewhere,
	"reporting":                           elsewhere,
	"acl.msp_disable_bootstrap":           elsewhere,
	"acl.tokens.managed_service_provider": elsewhere,
	"autopilot.usage_reporting":           elsewhere,

	"cache":                            otherwiseBy, // the shared watches hold no copies that age
	"http_config.use_cache":            silent,
	"rpc":                              silent, // streaming is the only way
	"use_streaming_backend":            silent,
	"raft_boltdb":                      otherwiseBy,
	"raft_logstore.backend":            otherwiseBy,
	"raft_logstore.boltdb":             otherwiseBy,
	"raft_logstore.disable_log_cache":  otherwiseBy,
	"raft_logstore.verification":       otherwiseBy,
	"sync_coordinate_interval_min":     otherwiseBy,
	"sync_coordinate_rate_target":      otherwiseBy,
	"xds.enable_xds_load_balancing":    otherwiseBy,
	"enable_xds_load_balancing":        otherwiseBy,
	"telemetry.enable_goroutine_dumps": otherwiseBy,
}
