package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidateWarnsOfNames: what DNS will not find is right all the same.
func TestValidateWarnsOfNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.hcl")
	if err := os.WriteFile(file, []byte("data_dir = \"/var/lib/parley\"\nservice {\n name = \"web.v1\"\n tags = [\"a_b\"] }"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := Run([]string{"parley", "validate", file}, nil, &stdout, &stderr)
	for _, want := range []string{"Warning: " + file + `:2: service name "web.v1" is no name for DNS`, `tag "a_b" of service "web.v1"`} {
		if code != 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("status %d, %s does not say %s", code, &stderr, want)
		}
	}
}

func TestValidateFindsWhatWouldNotLoad(t *testing.T) {
	dir := t.TempDir()
	for text, wants := range map[string][]string{
		`service { name = "web" port = 80 check { tcp = "127.0.0.1:80" interval = "5s" } connect { sidecar_service {} } }`: nil,
		`services = [{ name = "web" }, { name = "web" port = 2 }, { name = "px" kind = "connect-proxy" }]
		 check { id = "s" args = ["/bin/true"] interval = "5s" }`: {`"web" is defined twice`, "Proxy.DestinationServiceName", "Scripts are disabled"},
		`check { id = "of-another" service_id = "web" ttl = "5s" }`: nil, // which the API may have registered
		`service { name = "web" prot = 80 }`:                        {"did you mean port?"},
	} {
		file := filepath.Join(dir, "a.hcl")
		if err := os.WriteFile(file, []byte(text+"\n"+`data_dir = "/var/lib/parley"`), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := Run([]string{"parley", "validate", file}, nil, &stdout, &stderr)
		if (code == 0) != (len(wants) == 0) {
			t.Errorf("%s: status %d: %s%s", text, code, &stdout, &stderr)
		}
		for _, want := range wants {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: %s does not say %s", text, &stderr, want)
			}
		}
	}
}
