package rpc

import (
	"google.golang.org/grpc/mem"

	"github.com/parleymesh/parley/server/codec"
)

// msgpack is gRPC's view of the encoding of all that servers say to one another. Clients and servers are made to use it;
// it is registered nowhere.
type msgpack struct{}

// Marshal implements encoding.CodecV2.
func (msgpack) Marshal(v any) (mem.BufferSlice, error) {
	data, err := codec.Encode(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (msgpack) Unmarshal(data mem.BufferSlice, v any) error {
	return codec.Decode(data.Materialize(), v)
}

// Name implements encoding.CodecV2.
func (msgpack) Name() string { return "msgpack" }
