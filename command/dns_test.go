package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDNSInstall(t *testing.T) {
	root := t.TempDir()
	at := func(path string) string { return filepath.Join(root, path) }
	install := func(args ...string) (string, string, int) {
		t.Helper()
		return run("", append([]string{"parley", "dns", "install", "-root", root}, args...)...)
	}

	out, errs, code := install("-type", "systemd-resolved", "-domain", "consul", "-domain", "Parley.")
	if code != 0 || !strings.Contains(out, "DNS=127.0.0.1:8600\nDomains=~consul ~parley\n") || !strings.Contains(out, at("etc/systemd/resolved.conf.d/parley.conf")) ||
		!strings.Contains(out, "\nconsul\nparley\n") || !strings.Contains(out, "-write") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) > 0 {
		t.Errorf("a dry run has written: %v, %v", entries, err)
	}

	if _, errs, code := install(); code != 1 || !strings.Contains(errs, "-type") {
		t.Errorf("without a resolver: %d, %s", code, errs)
	}
	if err := os.MkdirAll(at("etc/dnsmasq.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time changes nothing
		if out, errs, code := install("-write", "-dns-addr", "[::1]:8601"); code != 0 || !strings.Contains(out, "systemctl restart dnsmasq") {
			t.Errorf("%d, %s%s", code, out, errs)
		}
		if data, err := os.ReadFile(at("etc/dnsmasq.d/parley.conf")); err != nil || !strings.HasSuffix(string(data), "\nserver=/consul/::1#8601\n") {
			t.Errorf("%s, %v", data, err)
		}
	}
	if err := os.WriteFile(at("etc/dnsmasq.d/parley.conf"), []byte("server=192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := install("-write"); code != 1 || !strings.Contains(errs, "-force") {
		t.Errorf("over somebody else's file: %d, %s", code, errs)
	}
	if _, errs, code := install("-write", "-force"); code != 0 {
		t.Errorf("with -force: %d, %s", code, errs)
	}

	for _, args := range [][]string{
		{"-type", "bind"}, {"-dns-addr", "localhost:8600"}, {"-dns-addr", "127.0.0.1"}, {"-domain", "a b"}, {"-domain", ""}, {"-domain", "x\nserver=/#/192.0.2.1"},
	} {
		if _, errs, code := install(args...); code != 1 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: %d, %s", args, code, errs)
		}
	}
}

func TestDNSCheckWithoutAgent(t *testing.T) {
	out, _, code := run("", "parley", "dns", "check", "-dns-addr", "127.0.0.1:1", "-timeout", "2s")
	if code != 1 || !strings.Contains(out, "consul.service.consul") || !strings.Contains(out, "The agent does not answer") {
		t.Errorf("%d, %s", code, out)
	}
	out, _, code = run("", "parley", "dns", "check", "-dns-addr", "127.0.0.1:1", "-format", "json")
	if code != 1 || !strings.Contains(out, `"OK": false`) {
		t.Errorf("%d, %s", code, out)
	}
}
