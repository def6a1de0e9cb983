package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/agent/tlsconfig"
)

// Stamp tells whether the files of a configuration have changed, files that come and go in its directories and its
// certificates included: two that are equal stand for the same files. It reads none of them.
func (c *Config) Stamp(settings Settings) string {
	format := hcl.Format(settings.last(flagConfigFormat))
	var files []string
	for _, s := range settings {
		if s.Flag == flagConfigFile || s.Flag == flagConfigDir {
			found, _ := filesAt(s.Value, format) // what is not there now has no stamp
			files = append(files, found...)
		}
	}
	for _, t := range []tlsconfig.Options{c.TLS.InternalRPC, c.TLS.HTTPS, c.TLS.GRPC} {
		files = append(files, t.CAFile, t.CertFile, t.KeyFile)
		if entries, err := os.ReadDir(t.CAPath); t.CAPath != "" && err == nil {
			for _, e := range entries {
				files = append(files, filepath.Join(t.CAPath, e.Name()))
			}
		}
	}
	slices.Sort(files)
	var b strings.Builder
	for _, file := range slices.Compact(files) {
		if info, err := os.Stat(file); file != "" && err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}
