package clients

import (
	"os/exec"
	"strconv"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestPyConsul drives an agent with py-consul, from PyPI.
func TestPyConsul(t *testing.T) {
	t.Parallel()
	python := client(t, "PARLEY_PY_CONSUL")
	a := testutil.Dev(t)
	steps(t, exec.Command(python, "testdata/py_consul.py", "127.0.0.1", strconv.Itoa(a.Ports.HTTP)))
}
