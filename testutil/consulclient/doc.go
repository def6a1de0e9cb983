// Package consulclient drives an agent with the public Go client of Consul, unmodified. It is a module of its own, so that the
// client's dependencies stay out of ours.
package consulclient
