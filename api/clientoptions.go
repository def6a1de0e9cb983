package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Mode is how fresh a read must be.
type Mode string

// The consistency modes. The default reads at the leader, stale at any server, and consistent at a leader that has just
// proved that it still is.
const (
	DefaultMode Mode = ""
	Stale       Mode = "stale"
	Consistent  Mode = "consistent"
)

// QueryOptions go with a read. A nil pointer means all defaults.
type QueryOptions struct {
	Datacenter string
	Namespace  string
	Partition  string
	Token      string
	Mode       Mode
	WaitIndex  uint64            // wait for a change after this index, from Meta.LastIndex of the previous answer
	WaitHash   string            // the same for what an agent alone knows, from Meta.Hash
	WaitTime   time.Duration     // at most so long; 0: the server's default, five minutes
	Filter     string            // a filter expression over the rows
	Near       string            // sort by distance from this node; "_agent" is the agent's own
	NodeMeta   map[string]string // only nodes that have all of these
}

// WriteOptions go with a change. A nil pointer means all defaults.
type WriteOptions struct {
	Datacenter string
	Namespace  string
	Partition  string
	Token      string
}

// Meta is what comes with the answer to a read.
type Meta struct {
	LastIndex   uint64        // for QueryOptions.WaitIndex
	Hash        string        // for QueryOptions.WaitHash, where there is no index
	LastContact time.Duration // age of a stale answer: how long ago its server heard from a leader
	KnownLeader bool
	Filtered    bool // rows were left out for want of permission
}

func (q *QueryOptions) token() string {
	if q == nil {
		return ""
	}
	return q.Token
}

func (w *WriteOptions) token() string {
	if w == nil {
		return ""
	}
	return w.Token
}

// queryParams adds what the options say to a call's own parameters, which may be nil.
func (c *Client) queryParams(q *QueryOptions, params url.Values) url.Values {
	if params == nil {
		params = url.Values{}
	}
	if q == nil {
		q = &QueryOptions{}
	}
	c.setPlace(params, q.Datacenter, q.Namespace, q.Partition)
	if q.Mode != DefaultMode {
		params.Set(string(q.Mode), "")
	}
	if q.WaitIndex > 0 {
		params.Set("index", strconv.FormatUint(q.WaitIndex, 10))
	}
	setIf(params, "hash", q.WaitHash)
	if q.WaitTime > 0 {
		params.Set("wait", strconv.FormatInt(max(1, q.WaitTime.Milliseconds()), 10)+"ms")
	}
	setIf(params, "filter", q.Filter)
	setIf(params, "near", q.Near)
	for k, v := range q.NodeMeta {
		params.Add("node-meta", k+":"+v)
	}
	return params
}

func (c *Client) writeParams(w *WriteOptions, params url.Values) url.Values {
	if params == nil {
		params = url.Values{}
	}
	if w == nil {
		w = &WriteOptions{}
	}
	c.setPlace(params, w.Datacenter, w.Namespace, w.Partition)
	return params
}

func (c *Client) setPlace(params url.Values, dc, namespace, partition string) {
	setIf(params, "dc", firstOf(dc, c.dc))
	setIf(params, "ns", firstOf(namespace, c.namespace))
	setIf(params, "partition", firstOf(partition, c.partition))
}

func setIf(params url.Values, name, value string) {
	if value != "" {
		params.Set(name, value)
	}
}

// metaOf reads the headers of an answer. Absent or malformed ones read as zero: not every endpoint has them.
func metaOf(h http.Header) Meta {
	index, _ := strconv.ParseUint(h.Get("X-Consul-Index"), 10, 64)
	contact, _ := strconv.ParseUint(h.Get("X-Consul-Lastcontact"), 10, 32)
	return Meta{
		LastIndex:   index,
		Hash:        h.Get("X-Consul-ContentHash"),
		LastContact: time.Duration(contact) * time.Millisecond,
		KnownLeader: h.Get("X-Consul-Knownleader") == "true",
		Filtered:    h.Get("X-Consul-Results-Filtered-By-Acls") == "true",
	}
}

// warningsOf reads the texts of Warning headers: a code, who warns, and the text in quotes.
func warningsOf(h http.Header) []string {
	var texts []string
	for _, value := range h.Values("Warning") {
		if at := strings.IndexByte(value, '"'); at >= 0 {
			if text, err := strconv.Unquote(value[at:]); err == nil {
				texts = append(texts, text)
			}
		}
	}
	return texts
}
