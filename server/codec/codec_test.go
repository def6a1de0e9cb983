package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

type record struct {
	Name  string
	Sizes map[string]int
	Data  []byte
}

// Encoders are used again, by many at a time: what one has returned must not change.
func TestEncodedValuesStayAsTheyAre(t *testing.T) {
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			var values []record
			var encoded [][]byte
			for i := range 200 {
				v := record{Name: fmt.Sprint(g, " ", i), Sizes: map[string]int{"a": i}, Data: bytes.Repeat([]byte{byte(i)}, i*i*4)}
				data, err := Encode(v)
				if err != nil {
					t.Error(err)
					return
				}
				values, encoded = append(values, v), append(encoded, data)
			}
			for i, data := range encoded {
				var got record
				if err := Decode(data, &got); err != nil {
					t.Error(err)
					return
				}
				if got.Name != values[i].Name || got.Sizes["a"] != i || !bytes.Equal(got.Data, values[i].Data) {
					t.Errorf("value %d of %d has become %.40v", i, g, got)
				}
			}
		})
	}
	all.Wait()
}

func TestEncodedValueTakesNoMoreThanItsSize(t *testing.T) {
	data, err := Encode(true)
	if err != nil || len(data) != 1 || cap(data) > 16 {
		t.Errorf("true takes %d bytes with room for %d: %v", len(data), cap(data), err)
	}
}

// refusing has no encoding.
type refusing struct{}

func (refusing) MarshalBinary() ([]byte, error) { return []byte("half"), errors.New("refused") }
func (refusing) UnmarshalBinary([]byte) error   { return nil }

// A failure spoils nothing that is encoded afterwards.
func TestEncodeAfterFailure(t *testing.T) {
	for range 10 {
		if _, err := Encode(map[string]any{"name": "x", "never": refusing{}}); err == nil {
			t.Fatal("what refuses was encoded")
		}
		data, err := Encode("name")
		var got string
		if err == nil {
			err = Decode(data, &got)
		}
		if err != nil || got != "name" {
			t.Errorf("after a failure: %q, %v", got, err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	v := record{Name: "web", Sizes: map[string]int{"a": 1, "b": 2}, Data: []byte(strings.Repeat("x", 512))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(v); err != nil {
			b.Fatal(err)
		}
	}
}
