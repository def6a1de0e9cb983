package api

// ServiceSplitter divides the HTTP requests to the service of its name among several destinations by weight.
type ServiceSplitter struct {
	Kind   string
	Name   string
	Splits []ServiceSplit
	EntryCommon
}

// EntryKind returns "service-splitter".
func (*ServiceSplitter) EntryKind() string { return KindServiceSplitter }

// EntryName returns the name of the service.
func (e *ServiceSplitter) EntryName() string { return e.Name }

// ServiceSplit is one destination and its share of the requests.
type ServiceSplit struct {
	Weight          float32          // in percent; a hundredth is the least
	Service         string           `json:",omitempty"` // empty: the service of the splitter
	ServiceSubset   string           `json:",omitempty"`
	Namespace       string           `json:",omitempty"`
	Partition       string           `json:",omitempty"`
	RequestHeaders  *HeaderModifiers `json:",omitempty"`
	ResponseHeaders *HeaderModifiers `json:",omitempty"`
}
