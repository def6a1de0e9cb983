package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
