package check

import "github.com/parleymesh/parley/api"

// threshold holds back a change of status until it has been seen often enough in a row. A limit of 0 is as good as 1:
// the first result counts.
type threshold struct {
	success  int // results in a row that passed before the status is passing
	warning  int // failures in a row before the status is warning
	critical int // failures in a row before the status is critical

	successes, failures int // in a row, until now
}

func newThreshold(def *api.CheckDefinition) threshold {
	t := threshold{success: def.SuccessBeforePassing, warning: def.FailuresBeforeWarning, critical: def.FailuresBeforeCritical}
	if t.warning == 0 {
		t.warning = t.critical
	}
	return t
}

// next returns the status after a check that stands at current gave result.
func (t *threshold) next(current, result string) string {
	if result == api.Passing {
		t.successes++
		t.failures = 0
		if t.successes >= t.success {
			return api.Passing
		}
		return current
	}
	t.failures++
	t.successes = 0
	switch {
	case result == api.Critical && t.failures >= t.critical:
		return api.Critical
	// A failure never makes a check look better than it was: a critical result leaves a critical check as it is.
	case result == api.Critical && current == api.Critical:
		return current
	case t.failures >= t.warning:
		return api.Warning
	}
	return current
}
