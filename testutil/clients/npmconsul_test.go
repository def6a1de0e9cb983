package clients

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestNPMConsul drives an agent with consul, from npm.
func TestNPMConsul(t *testing.T) {
	t.Parallel()
	modules := client(t, "PARLEY_NPM_CONSUL")
	a := testutil.Dev(t)
	cmd := exec.Command(testutil.Tool(t, "node"), "testdata/npm_consul.js", "127.0.0.1", strconv.Itoa(a.Ports.HTTP))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	steps(t, cmd)
}
