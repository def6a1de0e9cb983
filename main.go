// Parley is a service-discovery-first mesh in one binary. Everything it does is a command of package command.
package main

import (
	"os"

	"github.com/parleymesh/parley/command"
)

func main() { os.Exit(command.Run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
