package http

import (
	"net/http"

	"github.com/parleymesh/parley/api"
)

// agentMaintenance puts the node into maintenance or takes it out.
func agentMaintenance(r *request) (any, error) {
	enable, err := r.enable()
	if err != nil {
		return nil, err
	}
	if err := r.need("node", r.s.opts.Node, api.Write); err != nil {
		return nil, err
	}
	return nil, r.s.opts.Local.NodeMaintenance(enable, r.param("reason"), r.token())
}

// enable reads what a request for maintenance wants.
func (r *request) enable() (bool, error) {
	switch text := r.param("enable"); text {
	case "":
		return false, api.Errorf(http.StatusBadRequest, "Missing value for enable")
	case "1", "t", "T", "true", "TRUE", "True":
		return true, nil
	case "0", "f", "F", "false", "FALSE", "False":
		return false, nil
	default:
		return false, api.Errorf(http.StatusBadRequest, "Invalid value for enable: %q", text)
	}
}
