package api

import (
	"context"
	"net/http"
	"net/url"
)

// Intentions groups the calls that read and change intentions.
type Intentions struct{ c *Client }

// Intentions returns the calls that concern intentions.
func (c *Client) Intentions() Intentions { return Intentions{c} }

const intentionsPath = "/v1/connect/intentions"

// List returns all intentions, those of higher precedence first.
func (i Intentions) List(ctx context.Context, q *QueryOptions) ([]Intention, Meta, error) {
	return read[[]Intention](ctx, i.c, intentionsPath, q, nil)
}

// Get returns the intention from source to destination, or nil when there is none.
func (i Intentions) Get(ctx context.Context, source, destination string, q *QueryOptions) (*Intention, Meta, error) {
	found, meta, err := read[*Intention](ctx, i.c, intentionsPath+"/exact", q, between(source, destination))
	return found, meta, orAbsent(err)
}

// GetByID returns an intention that was made by id, or nil when there is none.
func (i Intentions) GetByID(ctx context.Context, id string, q *QueryOptions) (*Intention, Meta, error) {
	found, meta, err := read[*Intention](ctx, i.c, intentionsPath+"/"+url.PathEscape(id), q, nil)
	return found, meta, orAbsent(err)
}

// Create makes an intention with an id, which it returns. There must be none from its source to its destination yet.
func (i Intentions) Create(ctx context.Context, x *Intention, w *WriteOptions) (string, error) {
	var reply struct{ ID string }
	err := i.c.write(ctx, http.MethodPost, intentionsPath, w, nil, intentionBodyOf(x), &reply)
	return reply.ID, err
}

// Put makes the intention from x's source to its destination, or replaces it.
func (i Intentions) Put(ctx context.Context, x *Intention, w *WriteOptions) error {
	return i.c.write(ctx, http.MethodPut, intentionsPath+"/exact", w, between(qualified(x.SourceNS, x.SourceName),
		qualified(x.DestinationNS, x.DestinationName)), intentionBodyOf(x), nil)
}

// UpdateByID replaces an intention that was made by id.
func (i Intentions) UpdateByID(ctx context.Context, x *Intention, w *WriteOptions) error {
	return i.c.write(ctx, http.MethodPut, intentionsPath+"/"+url.PathEscape(x.ID), w, nil, intentionBodyOf(x), nil)
}

// Delete removes the intention from source to destination. It is no error if there is none.
func (i Intentions) Delete(ctx context.Context, source, destination string, w *WriteOptions) error {
	return i.c.write(ctx, http.MethodDelete, intentionsPath+"/exact", w, between(source, destination), nil, nil)
}

// DeleteByID removes an intention that was made by id.
func (i Intentions) DeleteByID(ctx context.Context, id string, w *WriteOptions) error {
	return i.c.write(ctx, http.MethodDelete, intentionsPath+"/"+url.PathEscape(id), w, nil, nil, nil)
}

// The sides by which Match looks.
const (
	MatchSource      = "source"
	MatchDestination = "destination"
)

// Match returns, for each name, the intentions that concern it as source or as destination, in the order in which they are
// tried.
func (i Intentions) Match(ctx context.Context, by string, names []string, q *QueryOptions) (map[string][]Intention, Meta, error) {
	return read[map[string][]Intention](ctx, i.c, intentionsPath+"/match", q, url.Values{"by": {by}, "name": names})
}

// Check asks whether source may connect to destination.
func (i Intentions) Check(ctx context.Context, source, destination string, q *QueryOptions) (Decision, Meta, error) {
	params := between(source, destination)
	params.Set("explain", "")
	return read[Decision](ctx, i.c, intentionsPath+"/check", q, params)
}

// intentionBody is the part of an intention that a user writes; the rest is the server's to set.
type intentionBody struct {
	Description          string                `json:",omitempty"`
	SourceNS             string                `json:",omitempty"`
	SourceName           string                `json:",omitempty"`
	SourcePartition      string                `json:",omitempty"`
	SourcePeer           string                `json:",omitempty"`
	SourceType           string                `json:",omitempty"`
	DestinationNS        string                `json:",omitempty"`
	DestinationName      string                `json:",omitempty"`
	DestinationPartition string                `json:",omitempty"`
	Action               string                `json:",omitempty"`
	Permissions          []IntentionPermission `json:",omitempty"`
	Meta                 map[string]string     `json:",omitempty"`
}

func intentionBodyOf(x *Intention) intentionBody {
	return intentionBody{
		Description:          x.Description,
		SourceNS:             x.SourceNS,
		SourceName:           x.SourceName,
		SourcePartition:      x.SourcePartition,
		SourcePeer:           x.SourcePeer,
		SourceType:           x.SourceType,
		DestinationNS:        x.DestinationNS,
		DestinationName:      x.DestinationName,
		DestinationPartition: x.DestinationPartition,
		Action:               x.Action,
		Permissions:          x.Permissions,
		Meta:                 x.Meta,
	}
}

func between(source, destination string) url.Values {
	return url.Values{"source": {source}, "destination": {destination}}
}

// qualified puts a namespace before a name, as the API takes it.
func qualified(namespace, name string) string {
	if namespace == "" || namespace == DefaultTenant {
		return name
	}
	return namespace + "/" + name
}
