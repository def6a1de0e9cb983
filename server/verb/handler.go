package verb

import "context"

// Handler is the servers' side of Client: what arrives by RPC is handed to it as it came, and it decodes the type it
// knows. server/core implements it.
type Handler interface {
	ApplyEnvelope(ctx context.Context, e Envelope) (Result, error)
	QueryEnvelope(ctx context.Context, e Envelope, o Options) (Answer, error)
	WatchEnvelope(ctx context.Context, e Envelope, o Options) (Reader, error)
}
