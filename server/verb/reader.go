package verb

import (
	"context"
	"time"
)

// DecodeReader returns a reader whose answers have their values, wherever they come from.
func DecodeReader(r Reader, newValue func() any) Reader { return &decodeReader{r, newValue} }

type decodeReader struct {
	Reader
	newValue func() any
}

// Next implements Reader.
func (r *decodeReader) Next(ctx context.Context) (Answer, error) {
	a, err := r.Reader.Next(ctx)
	if err != nil {
		return Answer{}, err
	}
	return a, a.Decode(r.newValue)
}

// Contact says how old what the reader shows may be, where the reader behind it knows.
func (r *decodeReader) Contact() (knownLeader bool, last time.Duration) {
	if c, ok := r.Reader.(interface{ Contact() (bool, time.Duration) }); ok {
		return c.Contact()
	}
	return true, 0
}
