package command_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/command"
)

// asProgram has the test binary be the program itself, for what ends or replaces a process.
const asProgram = "PARLEY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(command.Run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}
