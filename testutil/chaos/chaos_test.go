package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/testutil"
)

var (
	runs    = flag.Int("chaos.runs", 2, "how many runs")
	first   = flag.Uint64("chaos.seed", 1, "the seed of the first run; each one after it has the next; 0: one that nobody has chosen")
	length  = flag.Duration("chaos.length", 7*time.Second, "for how long faults begin in each run")
	servers = flag.Int("chaos.servers", 3, "servers of each run")
	keep    = flag.String("chaos.keep", "", "where to keep what failed runs leave; empty: the directory for temporary files")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	testutil.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestChaos(t *testing.T) {
	if *first == 0 {
		*first = uint64(rand.Uint32())
	}
	for i := range *runs {
		s := *first + uint64(i)
		t.Run(fmt.Sprint("seed ", s), func(t *testing.T) { chaos(t, s) })
	}
}

// chaos is one run.
func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, seed, *servers, 2)
	r := rand.New(rand.NewPCG(seed, seed))
	p := newPlan(r, *length)
	end := w.clients(r, 2)
	p.run(w, w.history.began)
	took := w.recover()
	end()
	w.readBack()
	if *keep == "" {
		*keep = os.TempDir()
	}
	dir := filepath.Join(*keep, fmt.Sprint("parley-chaos-", seed))
	wrong := append(w.history.check(dir), w.ended()...)
	t.Logf("seed %d: %d operations, %d not known, %d refused; well again after %v\n%s",
		seed, len(w.history.all()), w.unknown.Load(), w.refused.Load(), took.Round(time.Millisecond), p)
	w.stop()
	if len(wrong) == 0 {
		return
	}
	if err := w.keep(dir, p); err != nil {
		t.Error(err)
	}
	for _, text := range wrong {
		t.Error(text)
	}
	t.Errorf("see %s; again: make chaos RUNS=1 SEED=%d", dir, seed)
}
