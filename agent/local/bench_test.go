package local_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/parleymesh/parley/agent/local"
)

// A registration is one append to a file, however many there are already: most of it is the disk's time.
func BenchmarkRegister(b *testing.B) {
	for _, disk := range []bool{false, true} {
		b.Run(fmt.Sprintf("disk=%v", disk), func(b *testing.B) {
			o := options(nil)
			o.Logger = slog.New(slog.DiscardHandler)
			if disk {
				o.Dir = mustOpen(b, b.TempDir())
			}
			s, err := local.New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			def := *serviceDef(b, web)
			for i := 0; b.Loop(); i++ {
				def.ID = fmt.Sprintf("web-%d", i)
				if err := s.RegisterService(&def, "", false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
