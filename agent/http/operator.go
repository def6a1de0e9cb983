package http

import "github.com/parleymesh/parley/server/operator"

var operatorRoutes = []route{
	on("/v1/operator/raft/configuration", get(raftConfiguration)),
}

func raftConfiguration(r *request) (any, error) {
	a, err := r.peek(operator.RaftConfiguration{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}
