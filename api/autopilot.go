package api

import "time"

// AutopilotConfiguration is how the leader looks after the servers.
type AutopilotConfiguration struct {
	// CleanupDeadServers removes servers that failed, once others have taken their place.
	CleanupDeadServers bool
	// LastContactThreshold is how long a healthy server may not have heard from the leader.
	LastContactThreshold Duration
	// MaxTrailingLogs is how many entries of the log a healthy server may lack.
	MaxTrailingLogs uint64
	// MinQuorum is the number of servers with a vote below which none is removed.
	MinQuorum uint
	// ServerStabilizationTime is how long a new server must have been healthy before it gets a vote.
	ServerStabilizationTime Duration
	// The following three are kept and shown, and have no effect.
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex uint64
	ModifyIndex uint64
}

// DefaultAutopilot returns what holds for what a configuration does not say.
func DefaultAutopilot() AutopilotConfiguration {
	return AutopilotConfiguration{
		CleanupDeadServers: true, LastContactThreshold: Duration(200 * time.Millisecond), MaxTrailingLogs: 250,
		ServerStabilizationTime: Duration(10 * time.Second),
	}
}

// AutopilotState is how the servers are.
type AutopilotState struct {
	Healthy bool
	// FailureTolerance is how many servers with a vote can fail at once before the state cannot be changed any more.
	FailureTolerance int
	// OptimisticFailureTolerance is how many can fail one after the other, as others take their place.
	OptimisticFailureTolerance int

	Servers map[string]AutopilotServer // by id
	Leader  string                     // its id
	Voters  []string                   // their ids, the leader first
}

// AutopilotServer is how one of them is.
type AutopilotServer struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string // as the members see it: alive, leaving, left, failed, or unknown
	Version     string
	LastContact Duration // since it heard from the leader
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool
	Status      string // leader, voter or non-voter
	Meta        map[string]string
	NodeType    string // voter or read-replica: what it is to be
}

// AutopilotHealth is how the servers are, in fewer words.
type AutopilotHealth struct {
	Healthy          bool
	FailureTolerance int
	Servers          []ServerHealth
}

// ServerHealth is how one of them is.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}
