package state

import (
	"strings"

	"github.com/parleymesh/parley/api"
)

// Topic names one thing that can change and be waited for, whether it exists or not.
type Topic struct {
	Tenant api.Tenant
	Kind   Kind
	Name   string
}

// Kind is a kind of topic.
type Kind string

// topicIndex is the row that remembers when a topic was last touched.
type topicIndex struct {
	Topic Topic
	Index uint64
}

var topics = &table[topicIndex]{
	name: "topics", version: 1,
	key: func(_ *Tx, t *topicIndex) string { return t.Topic.key() },
}

func (t Topic) key() string { return key(t.Tenant, string(t.Kind), t.Name) }

// tenantOf reads the tenant back from a key.
func tenantOf(key string) api.Tenant {
	parts := strings.SplitN(key, "\x00", 4)
	if len(parts) < 4 {
		return api.Tenant{}
	}
	return api.Tenant{Peer: parts[0], Partition: parts[1], Namespace: parts[2]}
}

// saw records that the transaction has read a topic.
func (tx *Tx) saw(kind Kind, name string) {
	if tx.seen == nil {
		return
	}
	t := Topic{tx.tenant, kind, name}
	if _, ok := tx.seen[t]; ok {
		return
	}
	tx.seen[t] = tx.last(kind, name)
}

// last is the index at which a topic was last touched; 0: never.
func (tx *Tx) last(kind Kind, name string) uint64 {
	if row := topics.get(tx, Topic{tx.tenant, kind, name}.key()); row != nil {
		return max(row.Index, tx.floor)
	}
	return tx.floor
}

// Reading is what a transaction has read, and when any of it had last changed.
type Reading struct {
	topics []Topic
	index  uint64
}

// Reading returns what the transaction has read so far. It reports false when that is nothing, or when Repeats could not
// tell its changes.
func (tx *Tx) Reading() (Reading, bool) {
	names, index := tx.Seen()
	return Reading{names, index}, len(names) > 0 && !tx.apart
}

// Repeats reports whether nothing of what an earlier transaction on the same store has read was touched before this one.
func (tx *Tx) Repeats(r Reading) bool {
	for _, t := range r.topics {
		// An index that a topic is given later is above all that the earlier transaction could see.
		if row := topics.get(tx, t.key()); row != nil && row.Index > r.index {
			return false
		}
	}
	return true
}

// sawAt is saw for a topic whose last index stands in the row that was read, and not in the table of topics.
func (tx *Tx) sawAt(kind Kind, name string, index uint64) {
	tx.apart = true
	if tx.seen != nil {
		t := Topic{tx.tenant, kind, name}
		tx.seen[t] = max(tx.seen[t], index, tx.floor)
	}
}

// touch marks a topic as changed at the transaction's index.
func (tx *Tx) touch(kind Kind, name string) {
	tx.touched[Topic{tx.tenant, kind, name}] = tx.index
	tx.wrote = true
}

// wake marks a topic as changed whose row itself bears the index.
func (tx *Tx) wake(kind Kind, name string) {
	t := Topic{tx.tenant, kind, name}
	if _, touched := tx.touched[t]; !touched {
		tx.touched[t] = 0
	}
}

// settle writes when the topics were last touched, once for all that a transaction does, and returns them.
func (tx *Tx) settle() []Topic {
	out := make([]Topic, 0, len(tx.touched))
	for t, index := range tx.touched {
		if index > 0 {
			topics.put(tx, &topicIndex{Topic: t, Index: index})
		}
		out = append(out, t)
	}
	return out
}
