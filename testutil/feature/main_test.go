// Package feature tests what a user sees: real agents, as processes of the binary under test, driven by the command line, the
// API, DNS and real proxies. There is one file for each feature, and nothing here knows the inside.
package feature

import (
	"os"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testutil.Clean()
	os.Exit(code)
}
