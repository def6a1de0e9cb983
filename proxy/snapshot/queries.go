package snapshot

import (
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// The nouns' queries take the place of these when they are there.
type absent string

func (q absent) QueryType() string                 { return string(q) }
func (q absent) Validate() error                   { return fmt.Errorf("the query %s is not there yet", string(q)) }
func (absent) Needs() []api.Permission             { return nil }
func (absent) Read(*state.Tx) ([]*verb.Row, error) { return nil, nil }
func (absent) NewValue() any                       { return nil }

func rootsQuery() verb.Query                { return ca.Roots{} }
func chainQuery(service string) verb.Query  { return absent("configentry.chain " + service) }
func policyQuery(service string) verb.Query { return absent("intention.policy " + service) }

func readPolicy(answer verb.Answer) (any, error) {
	if len(answer.Rows) == 0 {
		return nil, fmt.Errorf("no rows")
	}
	return *answer.Rows[0].Value.(*Policy), nil
}
