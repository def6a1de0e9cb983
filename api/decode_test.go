package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestDefinitionIsReadLenientlyInItsKeys(t *testing.T) {
	camel := `{"Name":"web","Port":80,"EnableTagOverride":true,"TaggedAddresses":{"wan":{"Address":"198.51.100.9","Port":8}},
		"Checks":[{"HTTP":"http://x","Interval":"10s","DeregisterCriticalServiceAfter":"90m","TLSSkipVerify":true,"Args":["a"]}],
		"Connect":{"SidecarService":{"Proxy":{"Upstreams":[{"DestinationName":"db","LocalBindPort":1}],"Config":{"keep_this_Key":1}}}}}`
	snake := `{"name":"web","port":80,"enable_tag_override":true,"tagged_addresses":{"wan":{"address":"198.51.100.9","port":8}},
		"checks":{"http":"http://x","interval":10000000000,"deregister_critical_service_after":"1h30m","tls_skip_verify":true,"script_args":["a"]},
		"connect":[{"sidecar_service":{"proxy":{"upstreams":[{"destination_name":"db","local_bind_port":1}],"config":{"keep_this_Key":1}}}}]}`
	var a, b api.ServiceDefinition
	for text, d := range map[string]*api.ServiceDefinition{camel: &a, snake: &b} {
		if err := json.Unmarshal([]byte(text), d); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got %+v\nand %+v", a, b)
	}
	c := a.Checks[0]
	if time.Duration(c.Interval) != 10*time.Second || time.Duration(c.DeregisterCriticalServiceAfter) != 90*time.Minute {
		t.Errorf("durations: %v, %v", c.Interval, c.DeregisterCriticalServiceAfter)
	}
	if got := a.Connect.SidecarService.Proxy.Config["keep_this_Key"]; got != 1.0 {
		t.Errorf("opaque configuration: %v (%T)", got, got)
	}
}

func TestDefinitionErrorsNameTheField(t *testing.T) {
	for text, want := range map[string]string{
		`{"Name":"web","Prot":1}`:                                  `invalid config key "Prot"; did you mean "Port"?`,
		`{"Name":"web","Checks":[{"HTTP":"x","Intervall":"10s"}]}`: `"Checks[0].Intervall"; did you mean "Interval"?`,
		`{"Port":"80"}`:                 `Port: want a number, not the string "80"`,
		`{"Port":80.5}`:                 `Port: want a whole number in range, not the number 80.5`,
		`{"Port":99999999999999999999}`: `Port: want a whole number in range`,
		`{"Name":7}`:                    `Name: want a string, not the number 7`,
		`{"Tags":"a"}`:                  `Tags: want a list, not the string "a"`,
		`{"Tags":["a",1]}`:              `Tags[1]: want a string`,
		`{"Meta":{"a":1}}`:              `Meta.a: want a string`,
		`{"Check":{"TTL":"soon"}}`:      `Check.TTL: time: invalid duration "soon"`,
		`{"Check":{"TTL":true}}`:        `Check.TTL: want a duration`,
		`{"Check":[{},{}]}`:             `Check: want an object, not a list`,
		`{"Name":"a","name":"b"}`:       `Name: given twice, as "Name" and as "name"`,
		`[]`:                            `want an object, not a list`,
		`{"EnableTagOverride":"true"}`:  `EnableTagOverride: want true or false`,
		`{"Connect":{"SidecarService":{"Connect":{"Nativ":true}}}}`: `"Connect.SidecarService.Connect.Nativ"`,
	} {
		var d api.ServiceDefinition
		err := json.Unmarshal([]byte(text), &d)
		if api.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	const levels = 400
	text := strings.Repeat(`{"Connect":{"SidecarService":`, levels) + `{}` + strings.Repeat(`}}`, levels)
	var d api.ServiceDefinition
	if err := json.Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("got %.200v", err)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"1m30s"`: 90 * time.Second, `1500000000`: 1500 * time.Millisecond, `1e9`: time.Second, `""`: 0, `null`: 0,
	} {
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{`"x"`, `true`, `1.5`, `1e300`, `{}`, `99999999999999999999`} {
		var d api.Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was read as %v", text, d)
		}
	}
}

func TestDecodeConfigEntry(t *testing.T) {
	entry, err := api.DecodeConfigEntry([]byte(`{"kind":"service-defaults","name":"web","protocol":"http","mesh_gateway":{"mode":"local"},
		"upstream_config":{"defaults":{"connect_timeout_ms":5,"passive_health_check":{"interval":"2s"}}},"meta":{"team_name":"x"},
		"Hash":14868163042594217127,"ModifyIndex":9}`))
	if err != nil {
		t.Fatal(err)
	}
	if entry.EntryKind() != api.KindServiceDefaults || entry.EntryName() != "web" || entry.Common().Meta["team_name"] != "x" {
		t.Errorf("got %+v", entry)
	}
	if c := entry.Common(); c.Hash != 14868163042594217127 || c.ModifyIndex != 9 {
		t.Errorf("numbers: %+v", c)
	}
	wantJSON(t, entry, `{"Kind":"service-defaults","Name":"web","Protocol":"http","TransparentProxy":{},"MeshGateway":{"Mode":"local"},"Expose":{},
		"UpstreamConfig":{"Defaults":{"Peer":"","ConnectTimeoutMs":5,"PassiveHealthCheck":{"Interval":2000000000},"MeshGateway":{}}},
		"Meta":{"team_name":"x"},"Hash":14868163042594217127,"CreateIndex":0,"ModifyIndex":9}`)
}

func TestDecodeConfigEntryErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                            `unexpected EOF`,
		`{"Name":"x"}`:                 `Payload does not contain a kind/Kind key at the top level`,
		`{"Kind":"bogus","Name":"x"}`:  `invalid config entry kind: bogus`,
		`{"Kind":7}`:                   `Kind: want a string`,
		`7`:                            `want an object with a Kind`,
		`{"Kind":"proxy-defaults"} {}`: `more after the end`,
		`{"Kind":"proxy-defaults","kind":"service-defaults"}`:                                       `Kind: given twice`,
		`{"Kind":"service-defaults","Name":"x","Nope":1}`:                                           `invalid config key "Nope"`,
		`{"Kind":"service-intentions","Name":"x","Sources":[{"Name":"a"},{"Nam":"a"}]}`:             `"Sources[1].Nam"; did you mean "Name"?`,
		`{"Kind":"service-intentions","Name":"x","Sources":[{"LegacyCreateTime":"yesterday"}]}`:     `Sources[0].LegacyCreateTime: want a time`,
		`{"Kind":"service-defaults","Name":"x","UpstreamConfig":{"Defaults":{"Limits":{"Max":1}}}}`: `"UpstreamConfig.Defaults.Limits.Max"`,
	} {
		_, err := api.DecodeConfigEntry([]byte(text))
		if api.StatusOf(err) != 400 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestUnmarshalConfigEntryPassesOverNewKeys(t *testing.T) {
	entry, err := api.UnmarshalConfigEntry([]byte(`{"Kind":"proxy-defaults","Name":"global","FromTheFuture":1,"ModifyIndex":3}`))
	if err != nil || entry.EntryName() != api.ProxyDefaultsGlobal || entry.Common().ModifyIndex != 3 {
		t.Errorf("got %+v, %v", entry, err)
	}
}

// What is read once must be written so that it reads as the same.
func FuzzDecodeConfigEntry(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s.body))
	}
	f.Add([]byte(`{"kind":"service-intentions","name":"db","sources":[{"name":"*","action":"deny"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entry, err := api.DecodeConfigEntry(data)
		if err != nil {
			if api.StatusOf(err) != 400 {
				t.Fatalf("status of %v", err)
			}
			return
		}
		again, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		second, err := api.DecodeConfigEntry(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		wantJSON(t, second, string(again))
	})
}

// FuzzUnmarshalConfigEntry reads entries of every kind as a program does, and what it makes of them as a person does.
func FuzzUnmarshalConfigEntry(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s.body))
	}
	for _, kind := range api.EntryKinds() {
		f.Add([]byte(`{"Kind":"` + kind + `","Name":"x","Meta":{"k":"v"}}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entry, err := api.UnmarshalConfigEntry(data)
		if err != nil {
			return
		}
		first, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]func([]byte) (api.ConfigEntry, error){"program": api.UnmarshalConfigEntry, "person": api.DecodeConfigEntry} {
			again, err := read(first)
			if err != nil {
				t.Fatalf("as a %s: %s: %v", name, first, err)
			}
			wantJSON(t, again, string(first))
		}
	})
}

func FuzzServiceDefinition(f *testing.F) {
	for _, s := range shapes {
		f.Add([]byte(s.body))
	}
	f.Add([]byte(`{"name":"web","connect":{"sidecar_service":{}},"check":{"ttl":"10s"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d api.ServiceDefinition
		if json.Unmarshal(data, &d) != nil {
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var second api.ServiceDefinition
		if err := json.Unmarshal(again, &second); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		wantJSON(t, second, string(again))
	})
}
