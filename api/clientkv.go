package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// KV groups the calls that read and change keys.
type KV struct{ c *Client }

// KV returns the calls that concern keys.
func (c *Client) KV() KV { return KV{c} }

// Get returns a key, or nil when it is absent.
func (k KV) Get(ctx context.Context, key string, q *QueryOptions) (*KVPair, Meta, error) {
	pairs, meta, err := read[[]KVPair](ctx, k.c, keyPath(key), q, nil)
	if err != nil || len(pairs) == 0 {
		return nil, meta, orAbsent(err)
	}
	return &pairs[0], meta, nil
}

// List returns all keys that begin with the prefix, in order.
func (k KV) List(ctx context.Context, prefix string, q *QueryOptions) ([]KVPair, Meta, error) {
	pairs, meta, err := read[[]KVPair](ctx, k.c, keyPath(prefix), q, url.Values{"recurse": {""}})
	return pairs, meta, orAbsent(err)
}

// Keys returns the names of all keys that begin with the prefix, in order, cut after the next separator if there is one.
func (k KV) Keys(ctx context.Context, prefix, separator string, q *QueryOptions) ([]string, Meta, error) {
	params := url.Values{"keys": {""}}
	setIf(params, "separator", separator)
	names, meta, err := read[[]string](ctx, k.c, keyPath(prefix), q, params)
	return names, meta, orAbsent(err)
}

// Put writes a key's value and flags.
func (k KV) Put(ctx context.Context, p *KVPair, w *WriteOptions) error {
	_, err := k.put(ctx, p, nil, w)
	return err
}

// CAS writes a key only if its ModifyIndex is still p's, or, when that is 0, only if the key is absent. It returns
// whether it wrote.
func (k KV) CAS(ctx context.Context, p *KVPair, w *WriteOptions) (bool, error) {
	return k.put(ctx, p, url.Values{"cas": {strconv.FormatUint(p.ModifyIndex, 10)}}, w)
}

// Acquire writes a key and locks it for p's session. It returns whether the session has the lock.
func (k KV) Acquire(ctx context.Context, p *KVPair, w *WriteOptions) (bool, error) {
	return k.put(ctx, p, url.Values{"acquire": {p.Session}}, w)
}

// Release writes a key and gives up the lock of p's session. It returns whether the session had it.
func (k KV) Release(ctx context.Context, p *KVPair, w *WriteOptions) (bool, error) {
	return k.put(ctx, p, url.Values{"release": {p.Session}}, w)
}

// Delete removes a key. It is no error if it is absent.
func (k KV) Delete(ctx context.Context, key string, w *WriteOptions) error {
	_, err := k.delete(ctx, key, nil, w)
	return err
}

// DeleteCAS removes a key only if its ModifyIndex is still the given one. It returns whether it did.
func (k KV) DeleteCAS(ctx context.Context, key string, index uint64, w *WriteOptions) (bool, error) {
	return k.delete(ctx, key, url.Values{"cas": {strconv.FormatUint(index, 10)}}, w)
}

// DeleteTree removes all keys that begin with the prefix.
func (k KV) DeleteTree(ctx context.Context, prefix string, w *WriteOptions) error {
	_, err := k.delete(ctx, prefix, url.Values{"recurse": {""}}, w)
	return err
}

func (k KV) put(ctx context.Context, p *KVPair, params url.Values, w *WriteOptions) (bool, error) {
	if params == nil {
		params = url.Values{}
	}
	if p.Flags != 0 {
		params.Set("flags", strconv.FormatUint(p.Flags, 10))
	}
	value := p.Value
	if value == nil {
		value = []byte{} // a body, though an empty one
	}
	var done bool
	err := k.c.write(ctx, http.MethodPut, keyPath(p.Key), w, params, value, &done)
	return done, err
}

func (k KV) delete(ctx context.Context, key string, params url.Values, w *WriteOptions) (bool, error) {
	var done bool
	err := k.c.write(ctx, http.MethodDelete, keyPath(key), w, params, nil, &done)
	return done, err
}

// keyPath escapes slashes too: a key may begin with one, or hold two in a row, and a path may not.
func keyPath(key string) string { return "/v1/kv/" + url.PathEscape(key) }
