package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Queries groups the calls that concern prepared queries.
type Queries struct{ c *Client }

// Queries returns the calls that concern prepared queries.
func (c *Client) Queries() Queries { return Queries{c} }

const queriesPath = "/v1/query"

// Create makes a prepared query and returns its id.
func (g Queries) Create(ctx context.Context, p *PreparedQuery, w *WriteOptions) (string, error) {
	var reply struct{ ID string }
	err := g.c.write(ctx, http.MethodPost, queriesPath, w, nil, queryBodyOf(p), &reply)
	return reply.ID, err
}

// Update replaces the prepared query with p's id.
func (g Queries) Update(ctx context.Context, p *PreparedQuery, w *WriteOptions) error {
	return g.c.write(ctx, http.MethodPut, queryPath(p.ID), w, nil, queryBodyOf(p), nil)
}

// Delete removes a prepared query.
func (g Queries) Delete(ctx context.Context, id string, w *WriteOptions) error {
	return g.c.write(ctx, http.MethodDelete, queryPath(id), w, nil, nil, nil)
}

// List returns all prepared queries.
func (g Queries) List(ctx context.Context, q *QueryOptions) ([]PreparedQuery, Meta, error) {
	return read[[]PreparedQuery](ctx, g.c, queriesPath, q, nil)
}

// Get returns a prepared query by its id, or nil when there is none.
func (g Queries) Get(ctx context.Context, id string, q *QueryOptions) (*PreparedQuery, Meta, error) {
	found, meta, err := read[[]PreparedQuery](ctx, g.c, queryPath(id), q, nil)
	if err != nil || len(found) == 0 {
		return nil, meta, orAbsent(err)
	}
	return &found[0], meta, nil
}

// Execute carries out a prepared query, by its id or a name. It returns at the most limit instances; 0: all.
func (g Queries) Execute(ctx context.Context, idOrName string, limit int, q *QueryOptions) (*QueryResult, Meta, error) {
	params := url.Values{}
	if limit > 0 {
		params.Set("limit", strconv.Itoa(limit))
	}
	return read[*QueryResult](ctx, g.c, queryPath(idOrName)+"/execute", q, params)
}

// Explain returns the query that would be carried out for a name: the template, with everything filled in.
func (g Queries) Explain(ctx context.Context, idOrName string, q *QueryOptions) (*PreparedQuery, Meta, error) {
	found, meta, err := read[struct{ Query PreparedQuery }](ctx, g.c, queryPath(idOrName)+"/explain", q, nil)
	return &found.Query, meta, err
}

func queryPath(idOrName string) string { return queriesPath + "/" + url.PathEscape(idOrName) }

// queryBody is the part of a prepared query that a user writes.
type queryBody struct {
	Name     string        `json:",omitempty"`
	Session  string        `json:",omitempty"`
	Token    string        `json:",omitempty"`
	Template QueryTemplate `json:",omitzero"`
	Service  ServiceQuery
	DNS      QueryDNS
}

func queryBodyOf(p *PreparedQuery) queryBody {
	return queryBody{p.Name, p.Session, p.Token, p.Template, p.Service, p.DNS}
}
