package check_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/agent/check"
	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type result struct{ status, output string }

// firstResult runs a check until it has reported once.
func firstResult(t *testing.T, def api.CheckDefinition) result {
	t.Helper()
	return firstResultWith(t, def, check.Options{})
}

func firstResultWith(t *testing.T, def api.CheckDefinition, o check.Options) result {
	t.Helper()
	if def.Interval == 0 {
		def.Interval = api.Duration(time.Hour)
	}
	if err := check.Validate(&def, check.AllScripts, false); err != nil {
		t.Fatalf("the definition is refused: %s", err)
	}
	results := make(chan result, 1)
	o.Update = func(_, status, output string) {
		select {
		case results <- result{status, output}:
		default:
		}
	}
	r := check.NewRunner("c", api.Critical, &def, o)
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case got := <-results:
		return got
	case <-ctx.Done():
		t.Fatal("the check reports nothing")
		return result{}
	}
}
