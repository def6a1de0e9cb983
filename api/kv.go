package api

// KVPair is a key with its value. An empty value is null in JSON.
type KVPair struct {
	LockIndex   uint64 // how often the key was locked
	Key         string
	Flags       uint64 // the user's own
	Value       []byte
	Session     string `json:",omitempty"` // that holds the lock
	Namespace   string `json:",omitempty"`
	Partition   string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}
