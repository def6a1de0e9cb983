package state

import (
	"bytes"
	"iter"
	"strings"

	"github.com/parleymesh/parley/api"
)

var kv = &table[api.KVPair]{
	name: "kv", version: 1,
	// The key is the last part and not ended, so that a prefix of the key is a prefix of the row's key.
	key: func(tx *Tx, p *api.KVPair) string { return tx.openKey(p.Key) },
	// The session that holds the lock.
	by1: func(tx *Tx, p *api.KVPair) string {
		if p.Session == "" {
			return ""
		}
		return tx.key(p.Session)
	},
}

// The topics of keys.
const (
	topicKey    Kind = "key"    // one key
	topicFolder Kind = "folder" // all keys under a prefix that is empty or ends in a slash
)

// folderTopics bounds the folders that a change of one key touches: the outermost ones.
const folderTopics = 32

// Key returns the pair, or nil. What is absent bears the index of the last change of any key: no deletion of it can have
// come after that, so that nothing need be kept of keys that are gone.
func Key(tx *Tx, name string) *api.KVPair {
	p := kv.get(tx, tx.openKey(name))
	if p != nil {
		tx.sawAt(topicKey, name, p.ModifyIndex)
	} else {
		tx.sawAt(topicKey, name, max(tx.last(topicFolder, ""), 1))
	}
	return p
}

// Keys yields the pairs whose key begins with prefix, in order.
func Keys(tx *Tx, prefix string) iter.Seq[*api.KVPair] {
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	for strings.Count(folder, "/") >= folderTopics {
		folder = folder[:strings.LastIndexByte(folder[:len(folder)-1], '/')+1]
	}
	tx.sawAt(topicFolder, folder, max(tx.last(topicFolder, folder), 1))
	return kv.list(tx, tx.openKey(prefix))
}

// PutKey writes the pair, keeping its create index. One that says what already stands is not written.
func PutKey(tx *Tx, p api.KVPair) {
	p.CreateIndex, p.ModifyIndex = tx.index, tx.index
	if len(p.Value) == 0 {
		p.Value = nil // an empty value is null in JSON, however it came
	}
	if old := kv.get(tx, tx.openKey(p.Key)); old != nil {
		if sameKey(old, &p) {
			return
		}
		p.CreateIndex = old.CreateIndex
	}
	kv.put(tx, &p)
	tx.wake(topicKey, p.Key)
	foldersChanged(tx, p.Key)
}

// SessionKeys yields the pairs that a session has locked. It records no topic.
func SessionKeys(tx *Tx, session string) iter.Seq[*api.KVPair] {
	return kv.listBy1(tx, tx.key(session))
}

// sameKey compares all but the indexes.
func sameKey(a, b *api.KVPair) bool {
	return a.Flags == b.Flags && a.LockIndex == b.LockIndex && a.Session == b.Session && bytes.Equal(a.Value, b.Value)
}

// DeleteKey removes a pair. It reports whether there was one.
func DeleteKey(tx *Tx, name string) bool {
	if kv.get(tx, tx.openKey(name)) == nil {
		return false
	}
	kv.remove(tx, tx.openKey(name))
	tx.wake(topicKey, name)
	foldersChanged(tx, name)
	return true
}

// DeleteKeys removes all pairs whose key begins with prefix and returns how many there were.
func DeleteKeys(tx *Tx, prefix string) int {
	all := collect(kv.list(tx, tx.openKey(prefix)))
	for _, p := range all {
		DeleteKey(tx, p.Key)
	}
	return len(all)
}

// foldersChanged touches the folders that hold the key.
func foldersChanged(tx *Tx, name string) {
	tx.touch(topicFolder, "")
	for i, n := 0, 1; n < folderTopics; n++ {
		j := strings.IndexByte(name[i:], '/')
		if j < 0 {
			return
		}
		i += j + 1
		tx.touch(topicFolder, name[:i])
	}
}
