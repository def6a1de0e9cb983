package state

import "github.com/parleymesh/parley/api"

var autopilot = &table[api.AutopilotConfiguration]{
	name: "autopilot", version: 1,
	key: func(tx *Tx, _ *api.AutopilotConfiguration) string { return tx.key("config") },
}

const topicAutopilot Kind = "autopilot"

// Autopilot returns how the leader looks after the servers, or nil before the first leader wrote it.
func Autopilot(tx *Tx) *api.AutopilotConfiguration {
	tx.saw(topicAutopilot, "")
	return autopilot.get(tx, tx.key("config"))
}

// PutAutopilot writes it, keeping its create index.
func PutAutopilot(tx *Tx, c api.AutopilotConfiguration) {
	c.CreateIndex, c.ModifyIndex = tx.index, tx.index
	if old := autopilot.get(tx, tx.key("config")); old != nil {
		c.CreateIndex = old.CreateIndex
	}
	autopilot.put(tx, &c)
	tx.touch(topicAutopilot, "")
}
