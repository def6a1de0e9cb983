package configentry

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/parleymesh/parley/api"
)

func checkJWTProvider(e *api.JWTProvider) error {
	if err := checkKeySet("JSONWebKeySet", e.JSONWebKeySet); err != nil {
		return err
	}
	if err := at("Locations", e.Locations, checkLocation); err != nil {
		return err
	}
	if f := e.Forwarding; f != nil {
		if err := checkHeaderName("Forwarding.HeaderName", f.HeaderName, false); err != nil {
			return err
		}
	}
	if c := e.CacheConfig; c != nil {
		if err := checkNumber("CacheConfig.Size", c.Size); err != nil {
			return err
		}
	}
	return checkNumber("ClockSkewSeconds", e.ClockSkewSeconds)
}

func checkLocation(path string, l *api.JWTLocation) error {
	if count(l.Header != nil, l.QueryParam != nil, l.Cookie != nil) != 1 {
		return refusal("%s must have exactly one of Header, QueryParam, or Cookie", path)
	}
	switch {
	case l.Header != nil:
		return checkHeaderName(path+".Header.Name", l.Header.Name, false)
	case l.QueryParam != nil && l.QueryParam.Name == "":
		return refusal("%s.QueryParam.Name is required", path)
	case l.Cookie != nil && l.Cookie.Name == "":
		return refusal("%s.Cookie.Name is required", path)
	}
	return nil
}

func checkKeySet(path string, k *api.JSONWebKeySet) error {
	if k == nil {
		return refusal("%s is required: it says by which keys tokens are verified", path)
	}
	if count(k.Local != nil, k.Remote != nil) != 1 {
		return refusal("%s must have exactly one of Local or Remote", path)
	}
	if k.Local != nil {
		return checkLocalKeys(path+".Local", k.Local)
	}
	return checkRemoteKeys(path+".Remote", k.Remote)
}

func checkLocalKeys(path string, l *api.LocalJWKS) error {
	if count(l.JWKS != "", l.Filename != "") != 1 {
		return refusal("%s must have exactly one of JWKS or Filename", path)
	}
	if l.JWKS == "" {
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(l.JWKS)
	if err != nil {
		return refusal("%s.JWKS must be a key set in base64: %v", path, err)
	}
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return refusal("%s.JWKS must be a key set, JSON in base64: %v", path, err)
	}
	if len(set.Keys) == 0 {
		return refusal("%s.JWKS has no keys: no token could be verified", path)
	}
	for i, k := range set.Keys {
		if k.Kty == "" {
			return refusal("%s.JWKS: key %d has no type (kty)", path, i)
		}
	}
	return nil
}

func checkRemoteKeys(path string, r *api.RemoteJWKS) error {
	if r.URI == "" {
		return refusal("%s.URI is required", path)
	}
	if u, err := url.Parse(r.URI); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return refusal("%s.URI %q is no address of HTTP or HTTPS with a host", path, r.URI)
	}
	if p := r.RetryPolicy; p != nil {
		if err := checkRetryPolicy(path+".RetryPolicy", p); err != nil {
			return err
		}
	}
	return checks(
		checkNumber(path+".RequestTimeoutMs", r.RequestTimeoutMs),
		checkDuration(path+".CacheDuration", time.Duration(r.CacheDuration)),
		checkKeyCluster(path+".JWKSCluster", r.JWKSCluster),
	)
}

func checkRetryPolicy(path string, p *api.JWKSRetryPolicy) error {
	if err := checkNumber(path+".NumRetries", p.NumRetries); err != nil {
		return err
	}
	b := p.RetryPolicyBackOff
	if b == nil {
		return nil
	}
	path += ".RetryPolicyBackOff"
	if b.MaxInterval != 0 && b.MaxInterval < b.BaseInterval {
		return refusal("%s.MaxInterval %s is below BaseInterval %s", path, time.Duration(b.MaxInterval), time.Duration(b.BaseInterval))
	}
	return checks(
		checkDuration(path+".BaseInterval", time.Duration(b.BaseInterval)),
		checkDuration(path+".MaxInterval", time.Duration(b.MaxInterval)),
	)
}

func checkKeyCluster(path string, c *api.JWKSCluster) error {
	if c == nil {
		return nil
	}
	err := checks(
		oneOf(path+".DiscoveryType", c.DiscoveryType, "STRICT_DNS", "STATIC", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"),
		checkDuration(path+".ConnectTimeout", time.Duration(c.ConnectTimeout)),
	)
	t := c.TLSCertificates
	if err != nil || t == nil {
		return err
	}
	path += ".TLSCertificates"
	if count(t.CaCertificateProviderInstance != nil, t.TrustedCA != nil) != 1 {
		return refusal("%s must have exactly one of CaCertificateProviderInstance or TrustedCA", path)
	}
	if a := t.TrustedCA; a != nil && count(a.Filename != "", a.EnvironmentVariable != "", a.InlineString != "", len(a.InlineBytes) > 0) != 1 {
		return refusal("%s.TrustedCA must have exactly one of Filename, EnvironmentVariable, InlineString, or InlineBytes", path)
	}
	return nil
}
