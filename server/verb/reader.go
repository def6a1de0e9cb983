package verb

import "context"

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
