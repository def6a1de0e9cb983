// Package codec is the one encoding of what Parley's servers write and say to one another: Raft log entries, Raft
// snapshots and the payloads of RPC are msgpack (https://msgpack.org), with fields named as in the public JSON.
// It leaves versions and types to those who know them: an envelope, a snapshot's header, a table.
package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// maxNesting is how deep what enters the log may be nested: far more than anybody writes, and so far below what Decode
// follows (1024) that rows, snapshots and frames, which wrap it, can always be read again.
const maxNesting = 128

// handle holds the encoding's options; admission those of Admit. Both are safe for concurrent use and never changed after
// they are built.
var handle, admission = newHandle(), newAdmission()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	h.MapType = reflect.TypeFor[map[string]any]()
	// Canonical: map keys sorted, so that equal values have equal bytes on every server.
	h.Canonical = true
	return h
}

func newAdmission() *codec.MsgpackHandle {
	h := newHandle()
	h.MaxDepth = maxNesting
	return h
}

// Handle returns the options shared by all encoders and decoders, for those who stream.
func Handle() *codec.MsgpackHandle { return handle }

// Encode returns v as msgpack. It fails only for values that refuse to be encoded.
func Encode(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	out := e.buffer
	e.enc.ResetBytes(&out)
	if err := e.enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	// What is returned may be kept for long, say as one of many thousand results, so it takes no more than its size.
	encoded := bytes.Clone(out)
	if cap(out) <= maxBuffer {
		e.buffer = out[:cap(out)]
		encoders.Put(e)
	}
	return encoded, nil
}

// maxBuffer is up to which size the buffer of an encoder is kept for the next value.
const maxBuffer = 64 << 10

// encoder is an encoder that is used again and again. One that has failed is not.
type encoder struct {
	enc    *codec.Encoder
	buffer []byte
}

var encoders = sync.Pool{New: func() any {
	return &encoder{enc: codec.NewEncoderBytes(new([]byte), handle), buffer: make([]byte, 1<<10)}
}}

// Decode reads one value of msgpack into the value that v points to. Fields that v does not have are skipped, so an
// older release reads what a newer one wrote, as long as the type and version that stand before it are known.
func Decode(data []byte, v any) error { return decode(handle, data, v) }

// Admit is Decode for what is about to be stored. It refuses what is nested too deeply, so that what was admitted can be
// read ever after.
func Admit(data []byte, v any) error { return decode(admission, data, v) }

func decode(h *codec.MsgpackHandle, data []byte, v any) (err error) {
	// The library reports some malformed input by panicking past its own recovery; a log entry or a packet must not.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode %T: %v", v, r)
		}
	}()
	if err := codec.NewDecoderBytes(data, h).Decode(v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}
