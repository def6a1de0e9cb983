package api

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A cut answer must not pass for a whole one.
func TestBoundedReader(t *testing.T) {
	for size, fits := range map[int]bool{0: true, 9: true, 10: true, 11: false, 100: false} {
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
			data, err := io.ReadAll(&boundedReader{r: wrap(strings.NewReader(strings.Repeat("x", size))), left: 10})
			if fits != (err == nil) || fits && len(data) != size {
				t.Errorf("%d bytes: read %d, %v", size, len(data), err)
			}
		}
	}
}
