package state

// DefaultIntention is the single row of what happens between two services for which no intention says anything. It is
// replicated, so that all servers, and all agents through them, go by the same.
type DefaultIntention struct {
	Allow       bool
	Why         string // where it comes from
	ModifyIndex uint64
}

var intentionDefaults = &table[DefaultIntention]{
	name: "intention-default", version: 1,
	key: func(tx *Tx, _ *DefaultIntention) string { return tx.key("default") },
}

const topicIntentionDefault Kind = "intention-default"

// IntentionDefault returns the default, or nil before the first leader wrote one.
func IntentionDefault(tx *Tx) *DefaultIntention {
	tx.saw(topicIntentionDefault, "")
	return intentionDefaults.get(tx, tx.key("default"))
}

// PutIntentionDefault writes the default. One that says what already stands is not written.
func PutIntentionDefault(tx *Tx, d DefaultIntention) {
	if old := intentionDefaults.get(tx, tx.key("default")); old != nil && old.Allow == d.Allow && old.Why == d.Why {
		return
	}
	d.ModifyIndex = tx.index
	intentionDefaults.put(tx, &d)
	tx.touch(topicIntentionDefault, "")
}
