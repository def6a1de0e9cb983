package state

import (
	"iter"
	"reflect"
	"strings"

	"github.com/parleymesh/parley/api"
)

var queries = &table[api.PreparedQuery]{
	name: "prepared-queries", version: 1,
	key: func(tx *Tx, q *api.PreparedQuery) string { return tx.key(q.ID) },
	by1: func(tx *Tx, q *api.PreparedQuery) string {
		switch {
		case q.Template.Type != "":
			return tx.key("template", fold(q.Name))
		case q.Name != "":
			return tx.key("name", fold(q.Name))
		}
		return ""
	},
	by2: func(tx *Tx, q *api.PreparedQuery) string {
		if q.Session == "" {
			return ""
		}
		return tx.key(q.Session)
	},
}

// topicQueries is all prepared queries: a new template may answer for any name.
const topicQueries Kind = "prepared-queries"

// PreparedQueries yields all prepared queries, by id.
func PreparedQueries(tx *Tx) iter.Seq[*api.PreparedQuery] {
	tx.sawAt(topicQueries, "", max(tx.last(topicQueries, ""), 1)) // there may never have been one
	return queries.list(tx, tx.key())
}

// PreparedQuery returns a query by its id, or nil.
func PreparedQuery(tx *Tx, id string) *api.PreparedQuery {
	tx.saw(topicQueries, "")
	return queries.get(tx, tx.key(id))
}

// NamedQuery returns the query that is no template and has the name, or nil.
func NamedQuery(tx *Tx, name string) *api.PreparedQuery {
	tx.saw(topicQueries, "")
	for q := range queries.listBy1(tx, tx.key("name", fold(name))) {
		return q
	}
	return nil
}

// QueryTemplate returns the template with exactly the name, or nil.
func QueryTemplate(tx *Tx, name string) *api.PreparedQuery {
	tx.saw(topicQueries, "")
	for q := range queries.listBy1(tx, tx.key("template", fold(name))) {
		return q
	}
	return nil
}

// QueryTemplateFor returns the template with the longest name by which name begins, or nil.
func QueryTemplateFor(tx *Tx, name string) *api.PreparedQuery {
	tx.saw(topicQueries, "")
	var best *api.PreparedQuery
	for q := range queries.listBy1(tx, tx.key("template")) {
		if strings.HasPrefix(fold(name), fold(q.Name)) && (best == nil || len(q.Name) > len(best.Name)) {
			best = q
		}
	}
	return best
}

// PutPreparedQuery writes a query, keeping its create index. One that says what already stands is not written.
func PutPreparedQuery(tx *Tx, q api.PreparedQuery) {
	q.CreateIndex, q.ModifyIndex = tx.index, tx.index
	if old := queries.get(tx, tx.key(q.ID)); old != nil {
		q.CreateIndex, q.ModifyIndex = old.CreateIndex, old.ModifyIndex
		if reflect.DeepEqual(*old, q) {
			return
		}
		q.ModifyIndex = tx.index
	}
	queries.put(tx, &q)
	tx.touch(topicQueries, "")
}

// DeletePreparedQuery removes a query. It reports whether there was one.
func DeletePreparedQuery(tx *Tx, id string) bool {
	if queries.get(tx, tx.key(id)) == nil {
		return false
	}
	queries.remove(tx, tx.key(id))
	tx.touch(topicQueries, "")
	return true
}

// deleteSessionQueries removes the queries that go with a session.
func deleteSessionQueries(tx *Tx, session string) {
	for _, q := range collect(queries.listBy2(tx, tx.key(session))) {
		DeletePreparedQuery(tx, q.ID)
	}
}
