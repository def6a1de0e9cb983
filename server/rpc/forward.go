package rpc

import (
	"context"
	"io"

	"github.com/parleymesh/parley/server/verb"
)

var (
	_ verb.Handler         = (*Client)(nil)
	_ verb.SnapshotHandler = (*Client)(nil)
)

// ApplyEnvelope implements verb.Handler, for what comes from elsewhere.
func (c *Client) ApplyEnvelope(ctx context.Context, e verb.Envelope) (verb.Result, error) {
	none := func() (verb.Result, bool) { return verb.Result{}, false }
	return ask(ctx, c, true, none, func(ctx context.Context, l *link) (verb.Result, error) { return l.apply(ctx, e) })
}

// QueryEnvelope implements verb.Handler.
func (c *Client) QueryEnvelope(ctx context.Context, e verb.Envelope, o verb.Options) (verb.Answer, error) {
	if o.MinIndex > 0 && o.Mode != verb.Consistent {
		return c.block(ctx, e, o)
	}
	return c.query(ctx, e, o)
}

// WatchEnvelope implements verb.Handler. While no server answers, its reader keeps waiting: what was last known stays known.
func (c *Client) WatchEnvelope(_ context.Context, e verb.Envelope, o verb.Options) (verb.Reader, error) {
	return c.open(e, o.Mode), nil
}

// SaveEnvelope implements verb.SnapshotHandler.
func (c *Client) SaveEnvelope(ctx context.Context, e verb.Envelope, o verb.Options, begin func(verb.Saved) (io.Writer, error)) error {
	_, err := ask(ctx, c, false, noAnswer, func(ctx context.Context, l *link) (struct{}, error) { return struct{}{}, l.save(ctx, e, o, begin) })
	return err
}

// RestoreEnvelope implements verb.SnapshotHandler.
func (c *Client) RestoreEnvelope(ctx context.Context, e verb.Envelope, open func() (io.Reader, error)) error {
	_, err := ask(ctx, c, false, noAnswer, func(ctx context.Context, l *link) (struct{}, error) { return struct{}{}, l.restore(ctx, e, open) })
	return err
}
