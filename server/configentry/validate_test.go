package configentry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

// TestPaths: what is refused is named by its path, and how it is wrong.
func TestPaths(t *testing.T) {
	route := func(text string) string {
		return `{"Kind":"service-router","Name":"web","Routes":[{},{},` + text + `]}`
	}
	match := func(text string) string { return route(`{"Match":{"HTTP":{` + text + `}}}`) }
	to := func(text string) string {
		return route(`{"Match":{"HTTP":{"PathPrefix":"/"}},"Destination":{` + text + `}}`)
	}
	splits := func(text string) string { return `{"Kind":"service-splitter","Name":"web","Splits":[` + text + `]}` }
	resolver := func(text string) string { return `{"Kind":"service-resolver","Name":"web",` + text + `}` }
	balance := func(text string) string { return resolver(`"LoadBalancer":{` + text + `}`) }
	mesh := func(text string) string { return `{"Kind":"mesh",` + text + `}` }
	jwt := func(text string) string { return `{"Kind":"jwt-provider","Name":"okta",` + text + `}` }
	remote := func(text string) string {
		return jwt(`"JSONWebKeySet":{"Remote":{"URI":"https://a.example.org",` + text + `}}`)
	}
	local := func(text string) string {
		return jwt(`"JSONWebKeySet":{"Local":{"JWKS":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}}`)
	}
	keys := `"JSONWebKeySet":{"Local":{"Filename":"/k"}},`
	ingress := func(text string) string { return `{"Kind":"ingress-gateway","Name":"in","Listeners":[` + text + `]}` }
	gateway := func(text string) string { return `{"Kind":"api-gateway","Name":"gw","Listeners":[` + text + `]}` }
	rule := func(text string) string { return `{"Kind":"http-route","Name":"r","Rules":[{` + text + `}]}` }
	exports := func(text string) string {
		return `{"Kind":"exported-services","Name":"default","Services":[` + text + `]}`
	}
	defaults := func(text string) string { return `{"Kind":"service-defaults","Name":"web",` + text + `}` }
	for _, c := range []struct{ in, want string }{
		{match(`"PathExact":"/a","PathPrefix":"/b"`), "Routes[2].Match.HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex"},
		{match(`"PathExact":"a"`), "Routes[2].Match.HTTP.PathExact doesn't start with '/'"},
		{match(`"PathRegex":"/a(b"`), "Routes[2].Match.HTTP.PathRegex: error parsing regexp: missing closing )"},
		{match(`"PathRegex":"(?=a)"`), "Routes[2].Match.HTTP.PathRegex: error parsing regexp: invalid or unsupported Perl syntax"}, // not RE2
		{match(`"Methods":["GET","FETCH"]`), `Routes[2].Match.HTTP.Methods contains an invalid method "FETCH"`},
		{match(`"Methods":["GET","get"]`), `Routes[2].Match.HTTP.Methods contains "get" more than once`},
		{match(`"Header":[{"Name":"a","Exact":"x","Regex":"y"}]`), "Routes[2].Match.HTTP.Header[0] should contain exactly one of Present"},
		{match(`"Header":[{"Name":"a"}]`), "Routes[2].Match.HTTP.Header[0] should contain exactly one of Present"},
		{match(`"Header":[{"Present":true}]`), "Routes[2].Match.HTTP.Header[0].Name is required"},
		{match(`"Header":[{"Name":"a b","Present":true}]`), `Routes[2].Match.HTTP.Header[0].Name "a b" is no name of a header`},
		{match(`"Header":[{"Name":"a","Regex":"["}]`), "Routes[2].Match.HTTP.Header[0].Regex: error parsing regexp"},
		{match(`"QueryParam":[{"Name":"a","Exact":"x","Present":true}]`), "Routes[2].Match.HTTP.QueryParam[0] should contain exactly one of Present, Exact, or Regex"},
		{match(`"QueryParam":[{"Exact":"x"}]`), "Routes[2].Match.HTTP.QueryParam[0].Name is required"},
		{route(`{"Destination":{"PrefixRewrite":"/x"}}`), "Routes[2].Destination.PrefixRewrite takes the place"},
		{to(`"PrefixRewrite":"x"`), "Routes[2].Destination.PrefixRewrite doesn't start with '/'"},
		{to(`"Service":"*"`), `Routes[2].Destination.Service: "*" is no service`},
		{to(`"ServiceSubset":"a.b"`), `Routes[2].Destination.ServiceSubset "a.b"`},
		{to(`"Namespace":"other"`), `Routes[2].Destination.Namespace "other": this release knows only "default"`},
		{to(`"RequestTimeout":"-1s"`), "Routes[2].Destination.RequestTimeout must not be negative, got -1s"},
		{to(`"IdleTimeout":9000000000000000000`), "Routes[2].Destination.IdleTimeout 2500000h0m0s is longer than any proxy can count"},
		{to(`"RetryOn":["5xx","sometimes"]`), `Routes[2].Destination.RetryOn contains an invalid retry condition: "sometimes"`},
		{to(`"RetryOnStatusCodes":[503,99]`), "Routes[2].Destination.RetryOnStatusCodes: 99 is no status of HTTP"},
		{to(`"RequestHeaders":{"Set":{"Host":"x"}}`), `Routes[2].Destination.RequestHeaders.Set: the header "Host" cannot be changed`},
		{to(`"ResponseHeaders":{"Remove":[":status"]}`), `Routes[2].Destination.ResponseHeaders.Remove: the header ":status" cannot be changed`},
		{to(`"RequestHeaders":{"Add":{"x":"100%"}}`), `Routes[2].Destination.RequestHeaders.Add.x: the value "100%" has a percent sign that stands alone`},
		{to(`"RequestHeaders":{"Add":{"x":"a\nb"}}`), "Routes[2].Destination.RequestHeaders.Add.x has a control character"},
		{`{"Kind":"service-router","Name":"*"}`, `Name: "*" is no service`},

		{splits(``), "no splits configured"},
		{splits(`{"Weight":50}`), "the sum of all split weights must be 100, not 50.000000"},
		{splits(`{"Weight":99.98}`), "the sum of all split weights must be 100, not 99.980000"},
		{splits(`{"Weight":100},{"Weight":-1}`), "Splits[1].Weight -1 is out of range: 0 to 100"},
		{splits(`{"Weight":100},{"Weight":0.001}`), "Splits[1].Weight 0.001 is less than a hundredth"},
		{splits(`{"Weight":100,"RequestHeaders":{"Set":{"":"x"}}}`), "Splits[0].RequestHeaders.Set is required"},

		{resolver(`"Subsets":{"v1":{"Filter":"Service.Meta.v = 1"}}`), `Subsets[v1].Filter "Service.Meta.v = 1"`},
		{resolver(`"Subsets":{"v1":{"Filter":"Service.Mata.v == 1"}}`), `Subsets[v1].Filter "Service.Mata.v == 1"`},
		{resolver(`"Subsets":{"":{}}`), "Subsets[]: a subset needs a name"},
		{resolver(`"DefaultSubset":"v1"`), `DefaultSubset "v1" is not a valid subset`},
		{resolver(`"Redirect":{}`), "Redirect is empty"},
		{resolver(`"Redirect":{"ServiceSubset":"v1"}`), "Redirect.Service is required"},
		{resolver(`"Redirect":{"Service":"web"}`), `Redirect leads from "web" to itself`},
		{resolver(`"Redirect":{"Service":"x","Peer":"p","Datacenter":"dc2"}`), "Redirect.Peer and Redirect.Datacenter exclude each other"},
		{resolver(`"Redirect":{"Service":"x"},"Failover":{"*":{"Service":"y"}}`), "Redirect and Failover exclude each other"},
		{resolver(`"Redirect":{"SamenessGroup":"g"}`), "Redirect.SamenessGroup"},
		{resolver(`"Failover":{"v1":{"Service":"y"}}`), `Failover[v1] "v1" is not a valid subset`},
		{resolver(`"Failover":{"*":{}}`), "Failover[*] is empty"},
		{resolver(`"Failover":{"*":{"Service":"y","Targets":[{"Service":"z"}]}}`), "Failover[*].Targets excludes Service"},
		{resolver(`"Failover":{"*":{"Datacenters":["dc2","dc2"]}}`), `Failover[*].Datacenters[1] "dc2"`},
		{resolver(`"Failover":{"*":{"ServiceSubset":"v9"}}`), `Failover[*].ServiceSubset "v9" is not a valid subset`},
		{resolver(`"Failover":{"*":{"Targets":[{"Service":"a"},{}]}}`), "Failover[*].Targets[1] is empty"},
		{resolver(`"Failover":{"*":{"Targets":[{"Peer":"p","Datacenter":"dc2"}]}}`), "Failover[*].Targets[0].Peer and Failover[*].Targets[0].Datacenter exclude each other"},
		{resolver(`"Failover":{"*":{"Service":"y","Policy":{"Mode":"best"}}}`), `Failover[*].Policy.Mode "best" is not known`},
		{resolver(`"ConnectTimeout":"-5s"`), "ConnectTimeout must not be negative"},

		{balance(`"Policy":"best"`), `LoadBalancer.Policy "best" is not known`},
		{balance(`"Policy":"maglev","RingHashConfig":{"MinimumRingSize":1}`), `LoadBalancer.RingHashConfig goes with the policy "ring_hash"`},
		{balance(`"Policy":"random","LeastRequestConfig":{"ChoiceCount":2}`), `LoadBalancer.LeastRequestConfig goes with the policy "least_request"`},
		{balance(`"Policy":"random","HashPolicies":[{"SourceIP":true}]`), `LoadBalancer.HashPolicies goes with the policies "ring_hash" and "maglev"`},
		{balance(`"Policy":"ring_hash","RingHashConfig":{"MinimumRingSize":9,"MaximumRingSize":8}`), "LoadBalancer.RingHashConfig.MinimumRingSize 9 is above MaximumRingSize 8"},
		{balance(`"Policy":"ring_hash","RingHashConfig":{"MaximumRingSize":8388609}`), "LoadBalancer.RingHashConfig.MaximumRingSize 8388609 is out of range"},
		{balance(`"Policy":"ring_hash","RingHashConfig":{"MaximumRingSize":10}`), "LoadBalancer.RingHashConfig.MaximumRingSize 10 is below the minimum of 1024"},
		{balance(`"Policy":"least_request","LeastRequestConfig":{"ChoiceCount":1}`), "LoadBalancer.LeastRequestConfig.ChoiceCount must be at least 2"},
		{balance(`"Policy":"maglev","HashPolicies":[{"SourceIP":true},{"Field":"body","FieldValue":"x"}]`), `LoadBalancer.HashPolicies[1].Field "body" is not known`},
		{balance(`"Policy":"maglev","HashPolicies":[{"Field":"header"}]`), "LoadBalancer.HashPolicies[0].FieldValue is required"},
		{balance(`"Policy":"maglev","HashPolicies":[{"SourceIP":true,"Field":"header"}]`), "LoadBalancer.HashPolicies[0].SourceIP stands alone"},
		{balance(`"Policy":"maglev","HashPolicies":[{"Field":"header","FieldValue":"x","CookieConfig":{"Session":true}}]`), "LoadBalancer.HashPolicies[0].CookieConfig goes with"},
		{balance(`"Policy":"maglev","HashPolicies":[{"Field":"cookie","FieldValue":"x","CookieConfig":{"Session":true,"TTL":"1s"}}]`), "CookieConfig has Session and TTL"},

		{mesh(`"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_4"}}`), `TLS.Incoming.TLSMinVersion "TLSv1_4" is not known`},
		{mesh(`"TLS":{"Outgoing":{"TLSMinVersion":"TLSv1_3","TLSMaxVersion":"TLSv1_2"}}`), "TLS.Outgoing.TLSMinVersion TLSv1_3 is above TLSMaxVersion TLSv1_2"},
		{mesh(`"TLS":{"Incoming":{"CipherSuites":["TLS_NULL"]}}`), `TLS.Incoming.CipherSuites[0] "TLS_NULL" is not known`},
		{mesh(`"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_3","CipherSuites":["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}}`), "TLS.Incoming.CipherSuites has no meaning"},
		{mesh(`"HTTP":{"Incoming":{"RequestNormalization":{"PathWithEscapedSlashesAction":"HIDE"}}}`), "HTTP.Incoming.RequestNormalization.PathWithEscapedSlashesAction"},
		{mesh(`"HTTP":{"Incoming":{"RequestNormalization":{"HeadersWithUnderscoresAction":"HIDE"}}}`), "HTTP.Incoming.RequestNormalization.HeadersWithUnderscoresAction"},

		{jwt(`"Issuer":"x"`), "JSONWebKeySet is required"},
		{jwt(`"JSONWebKeySet":{"Local":{"Filename":"/k"},"Remote":{"URI":"https://a"}}`), "JSONWebKeySet must have exactly one of Local or Remote"},
		{jwt(`"JSONWebKeySet":{"Local":{}}`), "JSONWebKeySet.Local must have exactly one of JWKS or Filename"},
		{jwt(`"JSONWebKeySet":{"Local":{"JWKS":"{}"}}`), "JSONWebKeySet.Local.JWKS must be a key set in base64"},
		{local(`nothing`), "JSONWebKeySet.Local.JWKS must be a key set, JSON in base64"},
		{local(`{"keys":[]}`), "JSONWebKeySet.Local.JWKS has no keys"},
		{local(`{"keys":[{"kty":"RSA"},{}]}`), "JSONWebKeySet.Local.JWKS: key 1 has no type"},
		{jwt(`"JSONWebKeySet":{"Remote":{}}`), "JSONWebKeySet.Remote.URI is required"},
		{jwt(`"JSONWebKeySet":{"Remote":{"URI":"file:///x"}}`), `JSONWebKeySet.Remote.URI "file:///x" is no address of HTTP`},
		{remote(`"RequestTimeoutMs":-1`), "JSONWebKeySet.Remote.RequestTimeoutMs must not be negative"},
		{remote(`"CacheDuration":"-1s"`), "JSONWebKeySet.Remote.CacheDuration must not be negative"},
		{remote(`"RetryPolicy":{"RetryPolicyBackOff":{"BaseInterval":"9s","MaxInterval":"1s"}}`), "JSONWebKeySet.Remote.RetryPolicy.RetryPolicyBackOff.MaxInterval 1s is below BaseInterval 9s"},
		{remote(`"JWKSCluster":{"DiscoveryType":"GUESS"}`), `JSONWebKeySet.Remote.JWKSCluster.DiscoveryType "GUESS"`},
		{remote(`"JWKSCluster":{"TLSCertificates":{}}`), "JSONWebKeySet.Remote.JWKSCluster.TLSCertificates must have exactly one"},
		{remote(`"JWKSCluster":{"TLSCertificates":{"TrustedCA":{"Filename":"a","InlineString":"b"}}}`), "TLSCertificates.TrustedCA must have exactly one"},
		{jwt(keys + `"Locations":[{"Cookie":{"Name":"c"}},{}]`), "Locations[1] must have exactly one of Header, QueryParam, or Cookie"},
		{jwt(keys + `"Locations":[{"Header":{}}]`), "Locations[0].Header.Name is required"},
		{jwt(keys + `"Locations":[{"QueryParam":{}}]`), "Locations[0].QueryParam.Name is required"},
		{jwt(keys + `"Forwarding":{}`), "Forwarding.HeaderName is required"},
		{jwt(keys + `"ClockSkewSeconds":-1`), "ClockSkewSeconds must not be negative"},
		{jwt(keys + `"CacheConfig":{"Size":-1}`), "CacheConfig.Size must not be negative"},

		{defaults(`"MaxRequestHeadersKB":9000`), "MaxRequestHeadersKB 9000 is out of range: 1 to 8192"},
		{defaults(`"UpstreamConfig":{"Overrides":[{"Name":"a"},{"Name":"b","Limits":{"MaxConnections":-1}}]}`), "UpstreamConfig.Overrides[1].Limits.MaxConnections must not be negative"},
		{defaults(`"UpstreamConfig":{"Defaults":{"PassiveHealthCheck":{"MaxEjectionPercent":101}}}`), "UpstreamConfig.Defaults.PassiveHealthCheck.MaxEjectionPercent 101 is out of range"},
		{defaults(`"UpstreamConfig":{"Defaults":{"EnvoyClusterJSON":"{"}}`), "UpstreamConfig.Defaults.EnvoyClusterJSON is no JSON object"},

		{ingress(`{"Port":80,"Services":[{"Name":"a"},{"Name":"b"}]}`), "Listeners[0].Services: a listener of TCP"},
		{ingress(`{"Port":80,"Services":[{"Name":"a"}]},{"Port":80,"Services":[{"Name":"b"}]}`), "Listeners[1].Port 80 is another listener's already"},
		{ingress(`{"Port":0}`), "Listeners[0].Port 0 is out of range"},
		{ingress(`{"Port":1,"Protocol":"udp"}`), `Listeners[0].Protocol "udp" is not known`},
		{ingress(`{"Port":1,"Protocol":"http","Services":[{"Name":"a","Hosts":["a.*.org"]}]}`), `Listeners[0].Services[0].Hosts: "a.*.org" is no name of a host`},
		{ingress(`{"Port":1,"Protocol":"http","Services":[{"Name":"*","Hosts":["a.org"]}]}`), "Listeners[0].Services[0].Hosts"},
		{`{"Kind":"terminating-gateway","Name":"out","Services":[{"Name":"a"},{"Name":"b","CertFile":"/c"}]}`, "Services[1]: CertFile and KeyFile go together"},
		{`{"Kind":"terminating-gateway","Name":"out","Services":[{"Name":"a"},{"Name":"a"}]}`, `Services[1].Name: "a" was specified more than once`},
		{gateway(`{"Name":"a","Port":1,"Protocol":"http"},{"Name":"a","Port":2,"Protocol":"http"}`), `Listeners[1].Name: "a" is another listener's already`},
		{gateway(`{"Name":"a","Port":1,"Protocol":"grpc"}`), `Listeners[0].Protocol "grpc" is not known`},
		{gateway(`{"Name":"a","Port":1,"Protocol":"http","TLS":{"Certificates":[{"Kind":"mesh","Name":"x"}]}}`), `Listeners[0].TLS.Certificates[0].Kind "mesh"`},
		{gateway(`{"Name":"a","Port":1,"Protocol":"http","TLS":{"TLSMinVersion":"SSL"}}`), `Listeners[0].TLS.MinVersion "SSL" is not known`},
		{rule(`"Matches":[{},{"Path":{"Match":"prefix","Value":"x"}}]`), "Rules[0].Matches[1].Path.Value doesn't start with '/'"},
		{rule(`"Matches":[{"Path":{"Match":"regex","Value":"("}}]`), "Rules[0].Matches[0].Path.Value: error parsing regexp"},
		{rule(`"Matches":[{"Method":"GOT"}]`), "Rules[0].Matches[0].Method contains an invalid method"},
		{rule(`"Matches":[{"Headers":[{"Match":"near","Name":"x"}]}]`), `Rules[0].Matches[0].Headers[0].Match "near" is not known`},
		{rule(`"Matches":[{"Query":[{"Match":"prefix","Name":"x"}]}]`), `Rules[0].Matches[0].Query[0].Match "prefix" is not known`},
		{rule(`"Services":[{"Name":"a","Filters":{"Headers":[{"Remove":["host"]}]}}]`), "Rules[0].Services[0].Filters.Headers[0].Remove"},
		{rule(`"Filters":{"TimeoutFilter":{"IdleTimeout":-1}}`), "Rules[0].Filters.TimeoutFilter.IdleTimeout must not be negative"},
		{`{"Kind":"tcp-route","Name":"t","Services":[{"Name":"a"},{"Name":"b"}]}`, "Services: a tcp-route takes one service"},
		{`{"Kind":"tcp-route","Name":"t","Parents":[{"Kind":"mesh","Name":"a"}]}`, `Parents[0].Kind "mesh"`},
		{`{"Kind":"file-system-certificate","Name":"c","Certificate":"/c"}`, "PrivateKey is required"},
		{`{"Kind":"inline-certificate","Name":"c","Certificate":"x","PrivateKey":"y"}`, "Certificate and PrivateKey: tls: failed to find any PEM data"},
		{`{"Kind":"exported-services","Name":"x"}`, `invalid name ("x"), only "default" is supported`},
		{exports(`{"Name":"a","Consumers":[{"Peer":"p","Partition":"q"}]}`), "Services[0].Consumers[0] must have exactly one of"},
		{exports(`{"Name":"a"}`), "Services[0].Consumers must name at least one"},
		{exports(`{"Name":"a","Consumers":[{"Partition":"other"}]}`), `Services[0].Consumers[0].Partition "other"`},
		{`{"Kind":"sameness-group","Name":"g","Members":[{"Peer":"p"}]}`, "sameness-groups are an enterprise-only feature of the public API"},
		{`{"Kind":"bound-api-gateway","Name":"gw"}`, "a bound-api-gateway is what the servers make"},
	} {
		fails(t, write(t, c.in).Validate(), 500, c.want)
	}
	fails(t, Delete{Kind: "bound-api-gateway", Name: "gw"}.Validate(), 500, "delete those")
}

// TestGood: what looks odd and is right is taken.
func TestGood(t *testing.T) {
	for _, in := range []string{
		`{"Kind":"service-resolver","Name":"web","LoadBalancer":{"Policy":"ring_hash","RingHashConfig":{"MinimumRingSize":10}}}`, // without a maximum
		`{"Kind":"service-resolver","Name":"web","LoadBalancer":{"Policy":"ring_hash","RingHashConfig":{"MinimumRingSize":10,"MaximumRingSize":10}}}`,
		`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":33.33},{"Weight":33.33,"Service":"a"},{"Weight":33.33,"Service":"b"}]}`,
		`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":100},{"Weight":0,"Service":"a"}]}`,
		`{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":99.99},{"Weight":0.01,"Service":"a"}]}`,
		`{"Kind":"service-router","Name":"web"}`,
		`{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":{"Header":[{"Name":":authority","Exact":"a"}]}},"Destination":{"RequestHeaders":{"Set":{"x":"50%%"}}}}]}`,
		`{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Targets":[{"Service":"web","Datacenter":"dc2"},{"Peer":"p"}]}}}`,
		`{"Kind":"mesh"}`,
	} {
		if err := write(t, in).Validate(); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestInlineCertificate(t *testing.T) {
	pair := func(key any, public any) string {
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := func(kind string, data []byte) string {
			quoted, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})))
			if err != nil {
				t.Fatal(err)
			}
			return string(quoted)
		}
		return fmt.Sprintf(`{"Kind":"inline-certificate","Name":"c","Certificate":%s,"PrivateKey":%s}`, text("CERTIFICATE", cert), text("PRIVATE KEY", der))
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pair(curve, &curve.PublicKey)
	if err := write(t, good).Validate(); err != nil {
		t.Error(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := func(text string) string { return text[strings.Index(text, `"PrivateKey"`):] }
	mixed := strings.Replace(good, key(good), key(pair(other, &other.PublicKey)), 1)
	fails(t, write(t, mixed).Validate(), 500, "Certificate and PrivateKey: tls: private key does not match public key")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	fails(t, write(t, pair(short, &short.PublicKey)).Validate(), 500, "PrivateKey: an RSA key of 1024 bits is too short")
	if e, err := write(t, good).entry(); err != nil || e.EntryKind() != api.KindInlineCertificate {
		t.Error(err)
	}
}
