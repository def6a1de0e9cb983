// Package rpc carries the two verbs between agents and servers and between servers.
//
// One listener serves raft and gRPC: the first byte of a connection says which it is, in the clear and again inside TLS, so
// that a datacenter can move from one to the other server by server. gRPC carries three methods (Apply, Query, Watch)
// with msgpack for its messages; rows travel as their public JSON. Client is what an agent holds: it chooses
// a server, moves to another when that one fails, repeats what may be repeated, and shares one stream among all who follow the
// same query. Leader is what a server hands requests to that it may not answer itself.
//
// What a request means, and who may ask, is left to the verb.Handler behind the server.
package rpc
