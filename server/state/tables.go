package state

// tables is every table there is. A snapshot holds them in this order.
var tables = []anyTable{topics, nodes, services, checks, sessions, lockDelays, kv, configEntries, intentionDefaults, caRoots, caConfigs, queries, virtuals, places, autopilot, results}
