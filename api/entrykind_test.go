package api

import (
	"slices"
	"strings"
	"testing"
)

func TestConfigEntryKinds(t *testing.T) {
	for _, kind := range EntryKinds() {
		if e, err := NewConfigEntry(kind); err != nil || e.EntryKind() != kind {
			t.Errorf("%s: %v, %v", kind, e, err)
		}
		if slices.Contains(laterKinds, kind) {
			t.Errorf("%s is here", kind)
		}
	}
	for kind, want := range map[string]string{
		"control-plane-request-limit": "config entry kind control-plane-request-limit is not in this release yet; it has api-gateway, ",
		"service-default":             `invalid config entry kind: service-default; did you mean "service-defaults"? (this release has api-gateway, `,
		"ServiceRouter":               `invalid config entry kind: ServiceRouter; did you mean "service-router"?`,
		"bogus":                       "invalid config entry kind: bogus (this release has ",
		"":                            "invalid config entry kind:  (this release has ",
	} {
		if _, err := NewConfigEntry(kind); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", kind, err, want)
		}
	}
}
