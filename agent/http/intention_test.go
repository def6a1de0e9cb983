package http_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/intention"
	"github.com/parleymesh/parley/server/verb"
)

const intentions = "/v1/connect/intentions"

// setDefault says what happens where no intention says anything, as the leader does.
func (a *agent) setDefault(allow bool) {
	a.t.Helper()
	if _, err := a.core.Apply(context.Background(), verb.Options{Token: "root"}, intention.SetDefault{Allow: allow, Why: "the test wants it"}); err != nil {
		a.t.Fatal(err)
	}
}

func TestIntentionsByID(t *testing.T) {
	a := start(t)
	a.do("GET", intentions).is(200, "[]").has("X-Consul-KnownLeader", "true")
	var made struct{ ID string }
	a.do("POST", intentions, `{"SourceName": "web", "DestinationName": "db", "Action": "allow", "Description": "d", "Meta": {"k": "v"}}`).is(200, "").json(&made)
	if len(made.ID) != 36 {
		t.Fatalf("made %+v", made)
	}
	var x api.Intention
	a.do("GET", intentions+"/"+made.ID).is(200, "").has("X-Consul-Index", "").json(&x)
	if x.Precedence != 9 || x.Action != "allow" || x.Meta["k"] != "v" || x.CreatedAt.IsZero() || x.SourceNS != "default" || x.ID != made.ID {
		t.Errorf("got %+v", x)
	}
	a.do("PUT", intentions+"/"+made.ID, `{"SourceName": "web", "DestinationName": "db", "Action": "deny"}`).is(200, `{"ID":"`+made.ID+`"}`)
	a.do("GET", intentions).is(200, `"Action":"deny"`)
	a.do("POST", intentions, `{"SourceName": "web", "DestinationName": "db", "Action": "allow"}`).is(500, `Sources[1] defines "web" more than once`)
	a.do("DELETE", intentions+"/"+made.ID).is(200, "true")
	a.do("GET", intentions+"/"+made.ID).is(404, "Intention not found")
	a.do("DELETE", intentions+"/"+made.ID).is(500, "Cannot delete non-existent intention")
}

func TestIntentionsByName(t *testing.T) {
	a := start(t)
	put := func(source, destination, action string) {
		t.Helper()
		a.do("PUT", fmt.Sprintf("%s/exact?source=%s&destination=%s", intentions, source, destination), `{"Action": "`+action+`"}`).is(200, "true")
	}
	put("web", "default/db", "allow")
	put("default/default/web", "db", "deny")
	a.do("GET", intentions+"/exact?source=web&destination=db").is(200, `"Action":"deny"`).has("X-Consul-Index", "")
	put("*", "db", "deny")
	put("web", "*", "allow")
	put("*", "*", "deny")
	var all []api.Intention
	a.do("GET", intentions).is(200, "").json(&all)
	var order []int
	for _, x := range all {
		order = append(order, x.Precedence)
	}
	if fmt.Sprint(order) != "[9 8 6 5]" {
		t.Errorf("precedences: %v", order)
	}
	var match map[string][]api.Intention
	a.do("GET", intentions+"/match?by=destination&name=db").is(200, "").has("X-Consul-Effective-Consistency", "leader").json(&match)
	if len(match["db"]) != 4 {
		t.Errorf("match: %+v", match)
	}
	a.do("GET", intentions+"/match?by=source&name=web&name=default/api").is(200, "").has("X-Consul-KnownLeader", "true").json(&match)
	if len(match["web"]) != 4 || len(match["default/api"]) != 2 {
		t.Errorf("match: %+v", match)
	}
	for query, want := range map[string]bool{
		"source=web&destination=db": false, "source=api&destination=db": false, "source=web&destination=other": true, "source=x&destination=y": false,
	} {
		a.do("GET", intentions+"/check?"+query).is(200, fmt.Sprintf(`{"Allowed":%t}`, want)).has("X-Consul-Index", "")
		var d api.Decision
		a.do("GET", intentions+"/check?explain&"+query).is(200, "").json(&d)
		if d.Allowed != want || d.Why == "" || d.Rule == "" {
			t.Errorf("%s: %+v", query, d)
		}
	}
	a.do("GET", intentions+`?filter=SourceName == "web" and Precedence == 6`).is(200, `"DestinationName":"*"`)
	a.do("GET", intentions+`?filter=Precedence > 5`).is(500, "Failed to create boolean expression evaluator").has("X-Consul-KnownLeader", "false").has("X-Consul-Index", "1")
	a.do("DELETE", intentions+"/exact?source=web&destination=db").is(200, "true")
	a.do("GET", intentions+"/exact?source=web&destination=db").is(404, "Intention not found")
	a.do("DELETE", intentions+"/exact?source=web&destination=db").is(200, "true")
}

func TestIntentionRefusals(t *testing.T) {
	a := start(t)
	long := strings.Repeat("x", 200)
	for request, want := range map[string]string{
		"POST {":  "500 Failed to decode request body: unexpected EOF",
		"POST {}": "403 Permission denied",
		`POST {"SourceName": "a", "Action": "allow"}`:                                            "403 Permission denied",
		`POST {"SourceName": "a*", "DestinationName": "b", "Action": "allow"}`:                   "500 SourceName: wildcard character",
		`POST {"SourceName": "a", "DestinationName": "b", "Action": "allow", "SourceType": "x"}`: "500 SourceType must be set to",
		`POST {"SourceName": "a", "DestinationName": "b", "Action": "maybe"}`:                    "500 Action must be set to 'allow' or 'deny'",
		`POST {"SourceName": "a", "DestinationName": "b", "Action": "allow", "Akshun": 1}`:       `500 "Akshun"`,
		`POST {"SourceName": "a", "DestinationName": "b", "Action": 7}`:                          "500 Failed to decode request body",
		`POST {"SourceName": "a b", "DestinationName": "b", "Action": "allow"}`:                  "500 Name",
		`POST {"SourceName": "a", "DestinationName": "` + long + `", "Action": "allow"}`:         "500 Name",
		`POST {"SourceName": "a", "DestinationName": "secret", "Action": "allow"}`:               "403 Permission denied",
		"GET /not-a-uuid": "400 failed config entry lookup",
		"GET /00000000-1111-2222-3333-444444444444":       "404 Intention not found",
		"DELETE /not-a-uuid":                              "500 failed config entry lookup",
		"DELETE /exact?source=a":                          "500 required query parameter 'destination' not set",
		"DELETE /exact?source=a&destination=secret":       "403 Permission denied",
		"GET /exact?destination=a":                        "500 required query parameter 'source' not set",
		"GET /exact?source=x/a&destination=b":             `400 "source" is "x/a"`,
		"GET /exact?source=a/default/b&destination=b":     `400 "source"`,
		"GET /exact?source=a&destination=b":               "404 Intention not found",
		"GET /match":                                      "500 required query parameter 'by' not set",
		"GET /match?by=destination":                       "500 required query parameter 'name' not set",
		"GET /match?by=x&name=a":                          "500 'by' parameter must be one of 'source' or 'destination'",
		"GET /match?by=source&name=a&name=x/y":            `400 "name" is "x/y"`,
		"GET /check":                                      "500 required query parameter 'source' not set",
		"GET /check?source=a":                             "500 required query parameter 'destination' not set",
		"GET /check?source=a&destination=b&source-type=x": `500 unsupported SourceType: "x"`,
		"PUT ":        "405 method PUT not allowed",
		"POST /exact": "405 method POST not allowed",
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body := rest, ""
		if strings.HasPrefix(rest, "{") {
			path, body = "", rest
		}
		a.do(method, intentions+path, body).want(want)
	}
	for body, want := range map[string]string{
		`{}`:                  "500 Sources[0].Action must be set to",
		`{"Action": "maybe"}`: "500 Sources[0].Action must be set to",
		`{"Action": "allow", "SourceName": "other"}`:                         `400 SourceName is "other" in the body, but "a" in the query string`,
		`{"Permissions": [{"Action": "allow", "HTTP": {"PathExact": "/"}}]}`: `500 which is incompatible with L7 intentions permissions`,
		`{"Action": "allow", "Meta": {"a": "b"}}`:                            "500 Meta",
	} {
		a.do("PUT", intentions+"/exact?source=a&destination=b", body).want(want)
	}
	a.do("PUT", intentions+"/00000000-1111-2222-3333-444444444444", `{"SourceName": "a", "DestinationName": "b", "Action": "allow"}`).
		is(500, "Cannot modify non-existent intention")
	a.do("OPTIONS", intentions).is(200, "").has("Allow", "OPTIONS,GET,POST")
	a.do("GET", intentions).is(200, "[]")
}

func TestIntentionsBlock(t *testing.T) {
	a := start(t)
	for i, path := range []string{intentions + "?", intentions + "/match?by=destination&name=d1", intentions + "/match?by=destination&name=x&name=d2"} {
		index := a.do("GET", path).is(200, "").index()
		woken := a.later(fmt.Sprintf("%s&index=%d&wait=10s", path, index))
		waitFor(t, func() bool { return a.api.Waiting() == 1 })
		a.do("PUT", fmt.Sprintf("%s/exact?source=web&destination=d%d", intentions, i), `{"Action": "allow"}`).is(200, "true")
		if got := (<-woken).is(200, fmt.Sprintf(`"DestinationName":"d%d"`, i)); got.index() <= index {
			t.Errorf("%s: index %d after %d", path, got.index(), index)
		}
	}
}

func TestAuthorize(t *testing.T) {
	a := start(t)
	a.installCA()
	var roots api.CARoots
	a.do("GET", "/v1/connect/ca/roots").json(&roots)
	ask := func(uri, target string) api.AuthorizeReply {
		t.Helper()
		var reply api.AuthorizeReply
		a.do("POST", "/v1/agent/connect/authorize", fmt.Sprintf(`{"Target": %q, "ClientCertURI": %q, "ClientCertSerial": "04:00"}`, target, uri)).
			is(200, "").has("X-Cache", "MISS").json(&reply)
		return reply
	}
	web := "spiffe://" + roots.TrustDomain + "/ns/default/dc/dc1/svc/web"
	if got := ask(web, "db"); got.Authorized {
		t.Errorf("before a leader told the default: %+v", got)
	}
	a.setDefault(true)
	if got := ask(web, "db"); !got.Authorized || !strings.Contains(got.Reason, "the test wants it") {
		t.Errorf("by default: %+v", got)
	}
	a.do("PUT", intentions+"/exact?source=web&destination=db", `{"Action": "deny"}`).is(200, "true")
	if got := ask(web, "db"); got.Authorized || !strings.Contains(got.Reason, "web -> db") {
		t.Errorf("by an intention: %+v", got)
	}
	if got := ask("spiffe://other.consul/ns/default/dc/dc1/svc/api", "db"); got.Authorized || !strings.Contains(got.Reason, "trust domain") {
		t.Errorf("of another mesh: %+v", got)
	}
	if got := ask("spiffe://"+roots.TrustDomain+"/ns/other/dc/dc1/svc/api", "db"); got.Authorized || !strings.Contains(got.Reason, "namespace") {
		t.Errorf("of another namespace: %+v", got)
	}
	for body, want := range map[string]string{
		`{`:                "400 Request decode failed: unexpected EOF",
		`{}`:               "400 Target service must be specified",
		`{"Target": "db"}`: "400 ClientCertURI not a valid Connect identifier",
		`{"Target": "db", "ClientCertURI": "http://x"}`:                                      "400 ClientCertURI not a valid Connect identifier",
		`{"Target": "db", "ClientCertURI": "spiffe://x.consul"}`:                             "400 ClientCertURI not a valid Connect identifier",
		`{"Target": "db", "ClientCertURI": "spiffe://x.consul/agent/client/dc/dc1/id/node"}`: "400 ClientCertURI not a valid Connect identifier",
		`{"Target": "secret", "ClientCertURI": "` + web + `"}`:                               "403 Permission denied",
		`{"Target": "db", "Uri": "x"}`:                                                       `400 "Uri"`,
	} {
		a.do("POST", "/v1/agent/connect/authorize", body).want(want)
	}
	a.do("GET", "/v1/agent/connect/authorize").is(405, "method GET not allowed").has("Allow", "OPTIONS,POST")
}
