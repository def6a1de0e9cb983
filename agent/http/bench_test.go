package http_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// nowhere is a response that counts what is written.
type nowhere struct {
	header http.Header
	status int
	size   int
}

func (n *nowhere) Header() http.Header { return n.header }

func (n *nowhere) WriteHeader(status int) { n.status = status }

func (n *nowhere) Write(p []byte) (int, error) {
	n.size += len(p)
	return len(p), nil
}

// A health read of 100 instances through the handler, without the network.
func BenchmarkHealth100(b *testing.B) {
	a := start(b)
	for n := range 100 {
		body := fmt.Sprintf(`{"Node": "node-%d", "Address": "10.0.0.%d", "Service": {"Service": "web", "Port": 80, "Tags": ["a", "b"]},
			"Check": {"CheckID": "alive", "Name": "alive", "Status": "passing", "ServiceID": "web"}}`, n, n)
		if got := a.do("PUT", "/v1/catalog/register", body); got.status != http.StatusOK {
			b.Fatal(got.body)
		}
	}
	for _, c := range []struct{ name, query, encoding string }{
		{"plain", "", ""}, {"gzip", "", "gzip"}, {"passing", "?passing", ""}, {"filter", "?filter=" + `"b"+in+Service.Tags`, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			req := httptest.NewRequest("GET", "/v1/health/service/web"+c.query, nil)
			req.Header.Set("Accept-Encoding", c.encoding)
			handler := a.api.Handler()
			b.ReportAllocs()
			for b.Loop() {
				w := &nowhere{header: http.Header{}}
				handler.ServeHTTP(w, req)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
				b.SetBytes(int64(w.size))
			}
		})
	}
}
