package http

import "github.com/parleymesh/parley/server/operator"

var operatorRoutes = []route{
	on("/v1/operator/raft/configuration", get(raftConfiguration)),
	on("/v1/operator/raft/peer", del(removePeer)),
	on("/v1/operator/raft/transfer-leader", post(transferLeader)),
}

func raftConfiguration(r *request) (any, error) {
	a, err := r.peek(operator.RaftConfiguration{})
	if err != nil {
		return nil, err
	}
	return orError(only(a))
}

func removePeer(r *request) (any, error) {
	_, err := r.apply(operator.RemovePeer{ID: r.param("id"), Address: r.param("address")})
	return nil, err
}

func transferLeader(r *request) (any, error) {
	_, err := r.apply(operator.TransferLeader{ID: r.param("id")})
	return struct{ Success bool }{true}, err
}
