package http_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	agenthttp "github.com/parleymesh/parley/agent/http"
)

func TestBlockingQueriesOfOneClientAreBounded(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxBlockingPerClient = 2 })
	index := a.do("GET", "/v1/catalog/nodes").index()
	var waiting []<-chan answer
	for range 2 {
		waiting = append(waiting, a.later(fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=10s", index)))
	}
	waitFor(t, func() bool { return a.api.Waiting() == 2 })
	got := a.do("GET", fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=10s", index))
	got.is(429, "limits.http_max_blocking_per_client")
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 || after > 5 {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	// What waits for this agent's own state takes the same places, and what does not wait takes none.
	a.do("GET", "/v1/agent/services?hash=0&wait=10s").is(200, "")
	a.do("GET", "/v1/catalog/nodes").is(200, "")
	a.register(`{"Node": "n2", "Address": "10.0.0.2"}`)
	for _, w := range waiting {
		(<-w).is(200, "n2")
	}
	waitFor(t, func() bool { return a.api.Waiting() == 0 })
	began := time.Now()
	a.do("GET", fmt.Sprintf("/v1/catalog/nodes?index=%d&wait=10ms", a.do("GET", "/v1/catalog/nodes").index())).is(200, "")
	if time.Since(began) < 10*time.Millisecond {
		t.Error("a place that was left is not taken again")
	}
}

func TestHeaderThatIsTooLong(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.MaxHeader = 8 << 10 })
	for size, want := range map[int]int{1 << 10: 200, 12 << 10: 431, 100 << 10: 431} {
		got := a.do("GET", "/v1/catalog/nodes", "", "X-Long: "+strings.Repeat("x", size))
		got.is(want, "")
		if want == 431 && size < 64<<10 {
			got.is(431, "http_config.max_header_bytes")
		}
	}
}
