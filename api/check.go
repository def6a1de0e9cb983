package api

import (
	"cmp"
	"encoding/json"
	"strings"
)

// The statuses of a check. Maintenance is never a check's own status: it is what a roll-up says when a maintenance
// check is among those rolled up.
const (
	Passing     = "passing"
	Warning     = "warning"
	Critical    = "critical"
	Maintenance = "maintenance"
)

// The ids of checks that mean something.
const (
	SerfHealth               = "serfHealth"            // the node's gossip liveness, kept by the leader
	NodeMaintenance          = "_node_maintenance"     // present while the node is in maintenance
	ServiceMaintenancePrefix = "_service_maintenance:" // followed by the id of a service in maintenance
)

// Check is a health check of a node, or of a service when ServiceID is set, with its last result.
type Check struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string // "ttl", "http", "tcp", ...; empty when somebody else runs it
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  HealthCheckDefinition
	Namespace   string `json:",omitempty"`
	Partition   string `json:",omitempty"`
	PeerName    string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// HealthCheckDefinition is what a check registered straight in the catalog says of how to run it, for whoever does.
type HealthCheckDefinition struct {
	HTTP                           string              `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	DisableRedirects               bool                `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	TCPUseTLS                      bool                `json:",omitempty"`
	UDP                            string              `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	H2PING                         string              `json:",omitempty"`
	H2PingUseTLS                   bool                `json:",omitempty"`
	OSService                      string              `json:",omitempty"`
	ScriptArgs                     []string            `json:",omitempty"`
	DockerContainerID              string              `json:",omitempty"`
	Shell                          string              `json:",omitempty"`
	AliasNode                      string              `json:",omitempty"`
	AliasService                   string              `json:",omitempty"`
	TTL                            Duration            `json:",omitempty"`
	Interval                       Duration            `json:",omitempty"`
	Timeout                        Duration            `json:",omitempty"`
	DeregisterCriticalServiceAfter Duration            `json:",omitempty"`
}

// UnmarshalJSON reads a definition. Its durations have two names each in the public interface, and clients use either.
func (d *HealthCheckDefinition) UnmarshalJSON(data []byte) error {
	type plain HealthCheckDefinition
	named := struct {
		*plain
		IntervalDuration                       Duration
		TimeoutDuration                        Duration
		DeregisterCriticalServiceAfterDuration Duration
	}{plain: (*plain)(d)}
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	d.Interval = cmp.Or(named.IntervalDuration, d.Interval)
	d.Timeout = cmp.Or(named.TimeoutDuration, d.Timeout)
	d.DeregisterCriticalServiceAfter = cmp.Or(named.DeregisterCriticalServiceAfterDuration, d.DeregisterCriticalServiceAfter)
	return nil
}

// ValidStatus tells whether a check may have the status.
func ValidStatus(status string) bool {
	return status == Passing || status == Warning || status == Critical
}

// WorstStatus rolls checks up into one status: maintenance before critical before warning before passing. No checks
// are passing; a status that is none of ours counts as critical.
func WorstStatus(checks []Check) string {
	worst := Passing
	for i := range checks {
		c := &checks[i]
		switch {
		case c.CheckID == NodeMaintenance || strings.HasPrefix(c.CheckID, ServiceMaintenancePrefix):
			return Maintenance
		case c.Status == Passing:
		case c.Status == Warning:
			if worst == Passing {
				worst = Warning
			}
		default:
			worst = Critical
		}
	}
	return worst
}

// CheckUpdate is the body of /v1/agent/check/update: the result of a TTL check.
type CheckUpdate struct {
	Status string
	Output string
}
