package local

import (
	"log/slog"
	"net/http"

	"github.com/parleymesh/parley/api"
)

// Refused tells why an agent with these options, of which only what concerns definitions is looked at, would not take some of
// the services and checks that configuration files define. A check of a service that no file defines is no reason: the API may have
// registered that one.
func Refused(o Options, services []api.ServiceDefinition, checks []api.CheckDefinition) []error {
	s := empty(o, slog.New(slog.DiscardHandler))
	_, _, refused := s.sift(services, checks)
	var out []error
	for _, err := range refused {
		if api.StatusOf(err) != http.StatusNotFound {
			out = append(out, err)
		}
	}
	return out
}

// sift parts the definitions of configuration files into those that can be registered, and why the others cannot.
func (s *State) sift(services []api.ServiceDefinition, checks []api.CheckDefinition) (okServices []api.ServiceDefinition, okChecks []api.CheckDefinition, refused []error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	d := s.trial(nil)
	for i := range services {
		if err := d.loadService(&services[i]); err != nil {
			refused = append(refused, err)
			d = s.trial(okServices) // a part of the refused one may be in the draft
			continue
		}
		okServices = append(okServices, services[i])
	}
	for i := range checks {
		if err := d.loadCheck(&checks[i]); err != nil {
			refused = append(refused, err)
			continue
		}
		okChecks = append(okChecks, checks[i])
	}
	return okServices, okChecks, refused
}

// trial is a draft, never to be carried out, with services that have been found right.
func (s *State) trial(services []api.ServiceDefinition) *draft {
	d := s.draft()
	d.dropFiles()
	for i := range services {
		_ = d.loadService(&services[i])
	}
	return d
}
