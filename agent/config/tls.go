package config

import (
	"github.com/parleymesh/parley/agent/tlsconfig"
)

// TLS is the agent's own certificates, by protocol. After Load, each protocol has what it does not set from Defaults.
type TLS struct {
	Defaults    tlsconfig.Options
	InternalRPC tlsconfig.Options // agents and servers among themselves
	HTTPS       tlsconfig.Options
	GRPC        tlsconfig.Options
}

// inheritTLS fills in what a protocol leaves to the defaults.
func (r *reader) inheritTLS() {
	t := &r.cfg.TLS
	for name, p := range map[string]*tlsconfig.Options{"internal_rpc": &t.InternalRPC, "https": &t.HTTPS, "grpc": &t.GRPC} {
		inherit(r, name, "ca_file", &p.CAFile, t.Defaults.CAFile)
		inherit(r, name, "ca_path", &p.CAPath, t.Defaults.CAPath)
		inherit(r, name, "cert_file", &p.CertFile, t.Defaults.CertFile)
		inherit(r, name, "key_file", &p.KeyFile, t.Defaults.KeyFile)
		inherit(r, name, "tls_min_version", &p.TLSMinVersion, t.Defaults.TLSMinVersion)
		inherit(r, name, "tls_cipher_suites", &p.TLSCipherSuites, t.Defaults.TLSCipherSuites)
		inherit(r, name, "verify_incoming", &p.VerifyIncoming, t.Defaults.VerifyIncoming)
		inherit(r, name, "verify_outgoing", &p.VerifyOutgoing, t.Defaults.VerifyOutgoing)
		inherit(r, name, "verify_server_hostname", &p.VerifyServerHostname, t.Defaults.VerifyServerHostname)
	}
	// To know a server by its name is to dial it with TLS.
	t.InternalRPC.VerifyOutgoing = t.InternalRPC.VerifyOutgoing || t.InternalRPC.VerifyServerHostname
}

func inherit[T any](r *reader, protocol, key string, value *T, defaults T) {
	if !r.isSet("tls." + protocol + "." + key) {
		*value = defaults
	}
}

func (r *reader) validateTLS() {
	t := &r.cfg.TLS
	r.validateProtocol("internal_rpc", &t.InternalRPC)
	r.validateProtocol("https", &t.HTTPS)
	r.validateProtocol("grpc", &t.GRPC)
	if len(r.cfg.Addrs.HTTPS) > 0 && t.HTTPS.CertFile == "" {
		r.fail("ports.https", "an HTTPS listener needs tls.https.cert_file and key_file")
	}
}

func (r *reader) validateProtocol(name string, o *tlsconfig.Options) {
	key := func(setting string) string { // where it was set, here or in the defaults
		if own := "tls." + name + "." + setting; r.isSet(own) {
			return own
		}
		return "tls.defaults." + setting
	}
	if _, err := tlsconfig.ParseVersion(o.TLSMinVersion); err != nil {
		r.fail(key("tls_min_version"), "%v", err)
	}
	if _, err := tlsconfig.ParseCipherSuites(o.TLSCipherSuites); err != nil {
		r.fail(key("tls_cipher_suites"), "%v", err)
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		r.fail(key("cert_file"), "goes together with key_file; only one of them is set")
	}
	hasCA := o.CAFile != "" || o.CAPath != ""
	if o.VerifyIncoming && !hasCA {
		r.fail(key("verify_incoming"), "needs a ca_file or ca_path to verify with")
	}
	if o.VerifyOutgoing && !hasCA {
		r.fail(key("verify_outgoing"), "needs a ca_file or ca_path to verify with")
	}
	if name == "internal_rpc" && o.VerifyIncoming && r.cfg.Server && o.CertFile == "" {
		r.fail(key("verify_incoming"), "a server needs a cert_file and key_file itself")
	}
}
