package command

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// TestOutputOfManyGoroutines writes as an agent does, whose banner and log lines go to one place. The race detector watches.
func TestOutputOfManyGoroutines(t *testing.T) {
	var written bytes.Buffer
	out := &output{to: &written}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				_, _ = out.Write([]byte("a line\n"))
			}
		})
	}
	all.Wait()
	if lines := strings.Count(written.String(), "a line\n"); lines != 800 || out.failure() != nil {
		t.Errorf("%d of 800 lines are whole, failure %v", lines, out.failure())
	}
}
