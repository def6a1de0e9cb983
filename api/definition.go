package api

import "encoding/json"

// ServiceDefinition is what somebody registers with an agent: a service, its checks, and the sidecar it wants. Its JSON
// is read with CamelCase or snake_case keys in any case; an unknown key is an error that names it.
type ServiceDefinition struct {
	Kind              string                    `json:",omitempty"`
	ID                string                    `json:",omitempty"`
	Name              string                    `json:",omitempty"`
	Tags              []string                  `json:",omitempty"`
	Address           string                    `json:",omitempty"`
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string         `json:",omitempty"`
	Port              int                       `json:",omitempty"`
	SocketPath        string                    `json:",omitempty"`
	Check             *CheckDefinition          `json:",omitempty"`
	Checks            []CheckDefinition         `json:",omitempty"`
	Weights           *Weights                  `json:",omitempty"`
	Token             string                    `json:",omitempty"`
	EnableTagOverride bool                      `json:",omitempty"`
	Proxy             *Proxy                    `json:",omitempty"`
	Connect           *Connect                  `json:",omitempty"`
	Locality          *Locality                 `json:",omitempty"`
	Namespace         string                    `json:",omitempty"`
	Partition         string                    `json:",omitempty"`
}

// UnmarshalJSON reads a definition leniently in its keys and strictly in everything else.
func (d *ServiceDefinition) UnmarshalJSON(data []byte) error { return decodeJSON(data, d) }

// CheckDefinition is a check that somebody registers with an agent. Which of its fields are set tells what kind of
// check it is. It is read as ServiceDefinition is.
type CheckDefinition struct {
	ID                             string              `json:",omitempty"`
	CheckID                        string              `json:",omitempty"` // another name for ID
	Name                           string              `json:",omitempty"`
	Notes                          string              `json:",omitempty"`
	ServiceID                      string              `json:",omitempty"`
	Token                          string              `json:",omitempty"`
	Status                         string              `json:",omitempty"` // before it first runs; empty: critical
	Args                           []string            `json:",omitempty" alias:"ScriptArgs"`
	Shell                          string              `json:",omitempty"`
	DockerContainerID              string              `json:",omitempty"`
	HTTP                           string              `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	DisableRedirects               bool                `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	TCPUseTLS                      bool                `json:",omitempty"`
	UDP                            string              `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	H2PING                         string              `json:",omitempty"`
	H2PingUseTLS                   *bool               `json:",omitempty"` // nil: true
	OSService                      string              `json:",omitempty"`
	TTL                            Duration            `json:",omitempty"`
	AliasNode                      string              `json:",omitempty"`
	AliasService                   string              `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	Interval                       Duration            `json:",omitempty"`
	Timeout                        Duration            `json:",omitempty"`
	SuccessBeforePassing           int                 `json:",omitempty"`
	FailuresBeforeWarning          int                 `json:",omitempty"`
	FailuresBeforeCritical         int                 `json:",omitempty"`
	DeregisterCriticalServiceAfter Duration            `json:",omitempty"`
	OutputMaxSize                  int                 `json:",omitempty"` // bytes; 0: the agent's limit
	Namespace                      string              `json:",omitempty"`
	Partition                      string              `json:",omitempty"`
}

// UnmarshalJSON reads a definition leniently in its keys and strictly in everything else.
func (d *CheckDefinition) UnmarshalJSON(data []byte) error { return decodeJSON(data, d) }

var (
	_ json.Unmarshaler = (*ServiceDefinition)(nil)
	_ json.Unmarshaler = (*CheckDefinition)(nil)
)
