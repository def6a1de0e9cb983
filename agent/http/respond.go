package http

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// A handler's answer is encoded as JSON, but for these:
//   - nil is no body;
//   - rows are joined from the rows' own encodings, which all readers share, and so is a single row;
//   - *reply says status and content type as well;
//   - answered says that the handler has written the answer itself.

// rows is a list whose elements are encoded already.
type rows []*verb.Row

// reply is an answer that is not plain JSON with status 200.
type reply struct {
	status      int    // 0: 200
	contentType string // empty: JSON
	body        any    // []byte as it is, anything else as a handler returns it
}

// answered is returned by a handler that wrote its answer itself.
var answered = new(struct{ byte })

// smallBody is the size in bytes below which net/http tells a body's length by itself. One header less matters: a map of up to eight,
// and the copy of it that net/http makes, take half the memory of one of nine.
const smallBody = 2 << 10

// minGzip is the size in bytes below which a body is not worth compressing: it fits a packet.
const minGzip = 1400

// respond writes what a handler returned.
func (r *request) respond(v any) error {
	if v == any(answered) {
		return nil
	}
	rep, ok := v.(*reply)
	if !ok {
		rep = &reply{body: v}
	}
	pieces, err := encode(rep.body)
	if err != nil {
		return err
	}
	h := r.w.Header()
	h["Content-Type"] = jsonType
	if rep.contentType != "" {
		h.Set("Content-Type", rep.contentType)
	} else if r.flag("pretty") && len(pieces) > 0 {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.Join(pieces, nil), "", "    "); err != nil {
			return err
		}
		b.WriteByte('\n')
		pieces = [][]byte{b.Bytes()}
	}
	r.write(max(rep.status, http.StatusOK), pieces)
	return nil
}

// encode returns a body in pieces that are to be written one after the other.
func encode(v any) ([][]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return [][]byte{v}, nil
	case rows:
		return v.encode()
	case *verb.Row:
		data, err := v.JSON()
		return [][]byte{data}, err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return [][]byte{data}, nil
}

var (
	openList  = []byte("[")
	closeList = []byte("]")
	emptyList = []byte("[]")
	comma     = []byte(",")
)

func (rs rows) encode() ([][]byte, error) {
	if len(rs) == 0 {
		return [][]byte{emptyList}, nil
	}
	pieces := make([][]byte, 0, 2*len(rs)+1)
	before := openList
	for _, row := range rs {
		data, err := row.JSON()
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, before, data)
		before = comma
	}
	return append(pieces, closeList), nil
}

// only returns the row of an answer that is about one thing, which servers have from their first moments on.
func only(a verb.Answer) (*verb.Row, error) {
	if len(a.Rows) == 0 {
		return nil, api.Errorf(http.StatusServiceUnavailable, "the servers are still starting; ask again")
	}
	return a.Rows[0], nil
}

// MarshalJSON implements json.Marshaler, for rows within something else.
func (rs rows) MarshalJSON() ([]byte, error) {
	pieces, err := rs.encode()
	return bytes.Join(pieces, nil), err
}

// write writes the body, compressed where that is wanted and worth it. A client that takes too long to read loses it.
func (r *request) write(status int, pieces [][]byte) {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	_ = http.NewResponseController(r.w).SetWriteDeadline(time.Now().Add(writeTime(size)))
	if size < minGzip || !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		if size >= smallBody || r.Method == http.MethodHead {
			r.w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		r.w.WriteHeader(status)
		if len(pieces) < 2 {
			writeAll(r.w, pieces)
			return
		}
		b := buffers.Get().(*bufio.Writer)
		defer buffers.Put(b)
		b.Reset(r.w)
		writeAll(b, pieces)
		_ = b.Flush()
		return
	}
	r.w.Header().Set("Content-Encoding", "gzip")
	r.w.WriteHeader(status)
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(r.w)
	writeAll(z, pieces)
	_ = z.Close()
}

// writeAll stops at the first error: the client is gone, and there is nobody to tell.
func writeAll(w io.Writer, pieces [][]byte) {
	for _, p := range pieces {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

// buffers join the pieces of a list: net/http's own buffer is so small that a list would leave in many packets.
var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 64<<10) }}

// gzips keeps compressors, which are large, for the next answers.
var gzips = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// writeTime is how long the writing of so many bytes may take: a slow line is served, a stopped client is not.
func writeTime(size int) time.Duration {
	const bytesPerSecond = 32 << 10
	return time.Minute + time.Duration(size/bytesPerSecond)*time.Second
}

// acceptsGzip reads an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !ok || err == nil && weight > 0
	}
	return false
}

// showMeta tells in headers of which moment an answer is. The index is never 0, by which a client could not wait.
func (r *request) showMeta(a verb.Answer) {
	h := r.w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(max(a.Index, 1), 10))
	r.showReader(a)
	h["X-Consul-Query-Backend"] = blockingQuery
	if a.Filtered {
		h.Set("X-Consul-Results-Filtered-By-ACLs", "true")
	}
}

// showReader tells in headers who answered, for an answer by which nobody can wait.
func (r *request) showReader(a verb.Answer) {
	h := r.w.Header()
	if !a.KnownLeader || a.LastContact != 0 {
		h.Set("X-Consul-KnownLeader", strconv.FormatBool(a.KnownLeader))
		h.Set("X-Consul-LastContact", strconv.FormatInt(a.LastContact.Milliseconds(), 10))
		return
	}
	h["X-Consul-Knownleader"], h["X-Consul-Lastcontact"] = yes, zero
}

// What nearly all answers say in their headers is shared by all. The names beside it are in canonical form.
var (
	blockingQuery = []string{"blocking-query"}
	yes           = []string{"true"}
	zero          = []string{"0"}
	jsonType      = []string{"application/json"}
)

// hideMeta takes back what showMeta told, where the public API does not tell it with an error.
func (r *request) hideMeta() {
	for _, name := range []string{"X-Consul-Index", "X-Consul-KnownLeader", "X-Consul-LastContact", "X-Consul-Query-Backend"} {
		r.w.Header().Del(name)
	}
}

// writeError answers with the status that the error carries, and its text.
func writeError(w http.ResponseWriter, err error) {
	h := w.Header()
	h.Del("Content-Encoding")
	h.Del("Content-Length")
	text := err.Error()
	if text != "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	status := api.StatusOf(err)
	if status == http.StatusTooManyRequests && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime(len(text))))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
