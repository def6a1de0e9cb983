package http_test

import "testing"

func TestAgentChecks(t *testing.T) {
	a := start(t)
	a.do("PUT", "/v1/agent/check/register", `{"Name": "node ttl", "TTL": "60s"}`).is(200, "")
	a.do("GET", "/v1/agent/checks").is(200, `"Status":"critical"`).is(200, `"ServiceTags":[]`)
	a.do("PUT", "/v1/agent/check/pass/node%20ttl?note=fine").is(200, "")
	a.do("GET", "/v1/agent/checks").is(200, `"Status":"passing"`).is(200, `"Output":"fine"`)
	a.do("PUT", "/v1/agent/check/register", `{"ID": "c1", "Name": "c one", "TTL": "60s", "Notes": "hello", "Status": "warning"}`).is(200, "")
	for path, status := range map[string]string{"pass": "passing", "warn": "warning", "fail": "critical"} {
		a.do("PUT", "/v1/agent/check/"+path+"/c1?note=is-"+path).is(200, "")
		a.do("GET", `/v1/agent/checks?filter=CheckID == "c1"`).is(200, `"Status":"`+status+`"`).is(200, `"Output":"is-`+path+`"`)
		a.do("PUT", "/v1/agent/check/update/c1", `{"Status": "`+status+`", "Output": "told"}`).is(200, "")
		a.do("GET", `/v1/agent/checks?filter=Status == "`+status+`"`).is(200, `"Output":"told"`)
	}
	a.do("PUT", "/v1/agent/check/deregister/c1").is(200, "")
	a.do("GET", `/v1/agent/checks?filter=CheckID == "c1"`).is(200, `{}`)
	a.do("PUT", "/v1/agent/check/deregister/c1").is(404, `Unknown check ID "c1"`)
}

func TestAgentCheckRefusals(t *testing.T) {
	a := start(t)
	for body, want := range map[string]string{
		`{`:                            "400 Request decode failed: unexpected EOF",
		`{"TTL": "10s"}`:               "400 Missing check name",
		`{"Name": "x"}`:                "400 TTL must be > 0 for TTL checks",
		`{"Name": "x", "TTL": "-1s"}`:  "400 TTL must be > 0 for TTL checks",
		`{"Name": "x", "TTL": "soon"}`: "400 Request decode failed: TTL",
		`{"Name": "x", "HTTP": "http://127.0.0.1/"}`:            "400 Interval must be > 0",
		`{"Name": "x", "TTL": "10s", "Status": "weird"}`:        "400 Bad check status",
		`{"Name": "x", "TTL": "10s", "OutputMaxSize": -1}`:      "400 MaxOutputMaxSize must be positive",
		`{"Name": "x", "TTL": "10s", "ServiceID": "none"}`:      `404 ServiceID "none" does not exist`,
		`{"Name": "x", "Args": ["true"], "Interval": "10s"}`:    "500 Scripts are disabled on this agent from remote calls",
		`{"Name": "x", "TTL": "10s", "Namespace": "elsewhere"}`: `400 Namespace is "elsewhere"`,
	} {
		a.do("PUT", "/v1/agent/check/register", body).want(want)
	}
	a.do("PUT", "/v1/agent/check/register", `{"ID": "c1", "Name": "c", "TTL": "1m", "Status": "passing"}`).is(200, "")
	for body, want := range map[string]string{
		`{"Status": "weird"}`:                 "400 Invalid check status: 'weird'",
		`{"Output": "no status"}`:             "400 Invalid check status: ''",
		`{`:                                   "400 Request decode failed: unexpected EOF",
		`{"Status": 1}`:                       "400 Request decode failed: ",
		`{"Status": "passing", "Otput": "x"}`: `400 "Otput"`,
	} {
		a.do("PUT", "/v1/agent/check/update/c1", body).want(want)
	}
	for _, path := range []string{"pass/nothing", "pass/", "warn/nothing", "fail/nothing"} {
		a.do("PUT", "/v1/agent/check/"+path).is(404, "Ensure that the check ID is passed, not the check name.")
	}
	a.do("PUT", "/v1/agent/check/update/", `{"Status": "passing"}`).is(404, `Unknown check ID ""`)
	a.do("GET", "/v1/agent/check/pass/c1").is(405, "method GET not allowed").has("Allow", "OPTIONS,PUT")
	a.do("GET", "/v1/agent/checks").is(200, `"Status":"passing"`)
}
