package configentry

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil/nounstore"
)

// whole has an entry of each kind with many of its fields, in the notation of files. Some need those before them.
var whole = []string{
	`{"kind":"mesh","transparent_proxy":{"mesh_destinations_only":true},"allow_enabling_permissive_mutual_tls":true,
		"tls":{"incoming":{"tls_min_version":"TLSv1_2","tls_max_version":"TLSv1_3","cipher_suites":["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}},
		"http":{"sanitize_x_forwarded_client_cert":true,"incoming":{"request_normalization":{"merge_slashes":true,
		"path_with_escaped_slashes_action":"REJECT_REQUEST","headers_with_underscores_action":"DROP_HEADER"}}}}`,
	`{"kind":"proxy-defaults","name":"global","config":{"protocol":"http"},"mutual_tls_mode":"permissive","access_logs":{"enabled":true}}`,
	`{"kind":"service-defaults","name":"db","protocol":"tcp","max_request_headers_kb":96,"upstream_config":{"defaults":{"limits":{"max_connections":5},
		"passive_health_check":{"interval":"10s","max_failures":3,"max_ejection_percent":50,"base_ejection_time":"1m"}}}}`,
	`{"kind":"jwt-provider","name":"okta","issuer":"https://okta.example.org","audiences":["a"],"json_web_key_set":{"remote":{"uri":"https://okta.example.org/keys",
		"request_timeout_ms":500,"cache_duration":"5m","retry_policy":{"num_retries":3,"retry_policy_back_off":{"base_interval":"1s","max_interval":"5s"}},
		"jwks_cluster":{"discovery_type":"STATIC","connect_timeout":"2s","tls_certificates":{"trusted_ca":{"inline_bytes":"aGVsbG8="}}}}},
		"locations":[{"header":{"name":"authorization","value_prefix":"Bearer "}},{"query_param":{"name":"t"}},{"cookie":{"name":"c"}}],
		"forwarding":{"header_name":"x-jwt"},"clock_skew_seconds":30,"cache_config":{"size":7}}`,
	`{"kind":"service-resolver","name":"web","default_subset":"v1","subsets":{"v1":{"filter":"Service.Meta.v == 1"},"v2":{"only_passing":true}},
		"connect_timeout":"3s","request_timeout":"4s","failover":{"v2":{"targets":[{"service":"old"},{"service_subset":"v1"},{"peer":"p"}]},"*":{"service":"old"}},
		"load_balancer":{"policy":"ring_hash","ring_hash_config":{"minimum_ring_size":10},"hash_policies":[{"field":"cookie","field_value":"s",
		"cookie_config":{"ttl":"1h","path":"/"}},{"source_ip":true,"terminal":true}]}}`,
	`{"kind":"service-splitter","name":"web","splits":[{"weight":33.33,"service_subset":"v1","request_headers":{"set":{"x":"1"}}},
		{"weight":66.67,"service_subset":"v2","response_headers":{"remove":["y"],"add":{"z":"%PROTOCOL%"}}}]}`,
	`{"kind":"service-router","name":"web","routes":[{"match":{"http":{"path_prefix":"/a","case_insensitive":true,"methods":["get"],
		"header":[{"name":":authority","suffix":"x","invert":true}],"query_param":[{"name":"q","regex":"^a+$"}]}},"destination":{"service":"other",
		"prefix_rewrite":"/","request_timeout":"3s","idle_timeout":4000000000,"num_retries":2,"retry_on":["reset","5xx"],"retry_on_status_codes":[503]}},
		{"match":{"http":{"path_regex":"/b.*"}}}]}`,
	`{"kind":"service-intentions","name":"web","sources":[{"name":"a","permissions":[{"action":"allow","http":{"path_exact":"/"},
		"jwt":{"providers":[{"name":"okta","verify_claims":[{"path":["p"],"value":"v"}]}]}}]},{"name":"*","action":"deny"}],"jwt":{"providers":[{"name":"okta"}]}}`,
	`{"kind":"ingress-gateway","name":"in","tls":{"enabled":true,"tls_min_version":"TLSv1_2"},"defaults":{"max_connections":4},"listeners":[
		{"port":80,"protocol":"HTTP","services":[{"name":"web","hosts":["*.example.org"],"max_pending_requests":0}]},{"port":81,"services":[{"name":"db"}]}]}`,
	`{"kind":"terminating-gateway","name":"out","services":[{"name":"legacy","ca_file":"/a","cert_file":"/b","key_file":"/c","sni":"s"},{"name":"*"}]}`,
	`{"kind":"api-gateway","name":"gw","listeners":[{"name":"h","port":8080,"protocol":"http","hostname":"*.example.org","tls":{"tls_min_version":"TLSv1_2",
		"certificates":[{"kind":"file-system-certificate","name":"files"}]}},{"name":"t","port":9090,"protocol":"tcp"}]}`,
	`{"kind":"http-route","name":"r","hostnames":["a.example.org"],"parents":[{"name":"gw"}],"rules":[{"matches":[{"path":{"match":"prefix","value":"/"},
		"headers":[{"match":"present","name":"x"}],"query":[{"match":"exact","name":"q","value":"1"}],"method":"GET"}],"filters":{"url_rewrite":{"path":"/x"},
		"headers":[{"set":{"a":"b"}}],"timeout_filter":{"request_timeout":"1s"},"retry_filter":{"num_retries":1}},"services":[{"name":"web"},{"name":"b","weight":4}]}]}`,
	`{"kind":"tcp-route","name":"t","parents":[{"kind":"api-gateway","name":"gw","section_name":"t"}],"services":[{"name":"db"}]}`,
	`{"kind":"file-system-certificate","name":"files","certificate":"/c.pem","private_key":"/k.pem"}`,
	`{"kind":"exported-services","name":"default","services":[{"name":"web","consumers":[{"peer_name":"east"},{"peer":"west"}]},{"name":"*","consumers":[{"peer":"z"}]}]}`,
}

// TestWhole: every kind that can be written is taken whole, stands in a form that can be written back, and is the same after a
// snapshot.
func TestWhole(t *testing.T) {
	s := nounstore.New()
	kinds := map[string]bool{}
	for _, text := range whole {
		p := write(t, text)
		nounstore.Do[bool](t, s, p)
		e, err := p.entry()
		if err != nil {
			t.Fatal(err)
		}
		kinds[e.EntryKind()] = true
	}
	for _, kind := range api.EntryKinds() {
		switch kind {
		case api.KindBoundAPIGateway, api.KindSamenessGroup, api.KindInlineCertificate: // see TestBinding, TestInlineCertificate
		default:
			if !kinds[kind] {
				t.Errorf("no %s", kind)
			}
		}
	}
	for _, e := range nounstore.Values[*Any](t, s, List{}) {
		if e.EntryKind() == api.KindBoundAPIGateway {
			continue
		}
		read, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		index := e.Common().ModifyIndex
		put(t, s, string(read))
		again := nounstore.Values[api.ConfigEntry](t, s, Get{e.EntryKind(), e.EntryName()})[0]
		if now := again.Common().ModifyIndex; now != index {
			t.Errorf("%s/%s: written back as it was read, it is another: %d after %d", e.EntryKind(), e.EntryName(), now, index)
		}
	}
	nounstore.Same(t, s, s.Reloaded(t), List{})
	nounstore.Same(t, s, s.Reloaded(t), Exported{})
}

// random fills a value with anything that its type can hold.
func random(r *rand.Rand, v reflect.Value, depth int) {
	if r.IntN(4) == 0 && depth > 0 {
		return // absent
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<32), 0).UTC()))
		return
	case map[string]any:
		v.Set(reflect.ValueOf(map[string]any{"n": float64(r.IntN(9)), "t": "x", "o": map[string]any{"l": []any{true, nil}}}))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		random(r, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				random(r, v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			random(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range r.IntN(3) {
			value := reflect.New(v.Type().Elem()).Elem()
			random(r, value, depth+1)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("key", i)), value)
		}
	case reflect.String:
		v.SetString([]string{"a", "é\"\n", "10s", "<&>", strings.Repeat("z", 50)}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(1 << 40))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64N(200))
	case reflect.Float32:
		v.SetFloat(float64(float32(r.IntN(10000)) / 100))
	default:
		panic("kind " + v.Kind().String())
	}
}

// TestFixpoint: whatever an entry says, it says the same once it has been written and read, strictly or not, and what is written
// in the way in which it is kept stays so.
func TestFixpoint(t *testing.T) {
	for _, kind := range api.EntryKinds() {
		t.Run(kind, func(t *testing.T) {
			for seed := range uint64(200) {
				e, err := api.NewConfigEntry(kind)
				if err != nil {
					t.Fatal(err)
				}
				random(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(e).Elem(), 0)
				reflect.ValueOf(e).Elem().FieldByName("Kind").SetString(kind)
				first := encoded(t, e)
				for name, read := range map[string]func([]byte) (api.ConfigEntry, error){
					"strictly": api.DecodeConfigEntry, "as a program": api.UnmarshalConfigEntry,
					"in snake case": func(data []byte) (api.ConfigEntry, error) { return api.DecodeConfigEntry(snaked(t, data)) },
				} {
					again, err := read([]byte(first))
					if err != nil {
						t.Fatalf("seed %d: reading %s: %v\n%s", seed, name, err, first)
					}
					if got := encoded(t, again); got != first {
						t.Fatalf("seed %d: reading %s\n got %s\nwant %s", seed, name, got, first)
					}
				}
				Normalize(e)
				once := encoded(t, e)
				Normalize(e)
				if twice := encoded(t, e); twice != once {
					t.Fatalf("seed %d: normalized twice\n got %s\nwant %s", seed, twice, once)
				}
			}
		})
	}
}

func encoded(t *testing.T, e api.ConfigEntry) string {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// snaked writes the keys that are names of fields as files have them. Those of maps, and of what is opaque, mean what they are.
func snaked(t *testing.T, data []byte) []byte {
	t.Helper()
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			out := map[string]any{}
			for key, value := range v {
				if key[0] < 'A' || key[0] > 'Z' {
					out[key] = walk(value)
					continue
				}
				var b strings.Builder
				for i, c := range key {
					if i > 0 && c >= 'A' && c <= 'Z' && key[i-1] >= 'a' {
						b.WriteByte('_')
					}
					b.WriteRune(c)
				}
				out[strings.ToLower(b.String())] = walk(value)
			}
			return out
		}
		return v
	}
	out, err := json.Marshal(walk(tree))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{webHTTP, ""},
		{`{"Kind":"tcp-route","Name":"t"}`, `tcp-route "t" is stored, but the kind has no effect in this release yet`},
		{`{"Kind":"service-defaults","Name":"web","EnvoyExtensions":[{"Name":"builtin/lua"}]}`,
			`service-defaults "web" is stored, but EnvoyExtensions has no effect in this release yet`},
		{`{"Kind":"service-resolver","Name":"web","Failover":{"*":{"Targets":[{"Service":"a"},{"Peer":"p"}],"Policy":{"Mode":"order-by-locality"}}}}`,
			`service-resolver "web" is stored, but Failover[*].Policy, Failover[*].Targets[1].Peer have no effect in this release yet`},
		{`{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"x"},"DefaultSubset":"v","Subsets":{"v":{}}}`,
			`service-resolver "web" is stored, but DefaultSubset beside Redirect has no effect in this release yet`},
		{`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"},{"Name":"b","Peer":"p","Action":"allow"}]}`,
			`service-intentions "web" is stored, but Sources[1].Peer has no effect in this release yet`},
		{`{"Kind":"mesh","Peering":{"PeerThroughMeshGateways":true}}`, `mesh "mesh" is stored, but Peering has no effect in this release yet`},
	} {
		e, err := api.DecodeConfigEntry([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Warnings(e), "\n"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestExported(t *testing.T) {
	s := nounstore.New()
	put(t, s, `{"Kind":"exported-services","Name":"default","Services":[{"Name":"b","Consumers":[{"Peer":"y"},{"Peer":"x"},{"Peer":"y"}]},{"Name":"a","Consumers":[{"Peer":"x"}]}]}`)
	got := nounstore.Values[*api.ResolvedExport](t, s, Exported{})
	if len(got) != 2 || got[0].Service != "a" || !slices.Equal(got[1].Consumers.Peers, []string{"x", "y"}) {
		t.Errorf("got %+v", got)
	}
}
