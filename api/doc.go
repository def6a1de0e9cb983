// Package api holds the nouns that every part of Parley speaks (node, service, check, key, intention, config entry,
// certificate, member) and the Go client of its HTTP API.
//
// The nouns are plain values: they are what is kept in the state, what travels between agents and servers and what the
// HTTP API answers, so their JSON is that of the public API, field for field. They hold no storage, no locks and, apart
// from a few pure functions over a single value, no behaviour. Validation that needs to know other things, storage,
// permissions and HTTP serving are left to the packages that own them. The package imports the standard library only.
package api
