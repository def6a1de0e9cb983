package api

// JWTProvider says whose tokens are trusted, and where they are found in a request. Intentions refer to it by name.
type JWTProvider struct {
	Kind             string
	Name             string
	JSONWebKeySet    *JSONWebKeySet `json:",omitempty"`
	Issuer           string         `json:",omitempty"`
	Audiences        []string       `json:",omitempty"`
	Locations        []JWTLocation  `json:",omitempty"`
	Forwarding       *JWTForwarding `json:",omitempty"`
	ClockSkewSeconds int            `json:",omitempty"`
	CacheConfig      *JWTCache      `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "jwt-provider".
func (*JWTProvider) EntryKind() string { return KindJWTProvider }

// EntryName returns the name of the provider.
func (e *JWTProvider) EntryName() string { return e.Name }

// JWTLocation is where a token may stand: one of the three.
type JWTLocation struct {
	Header     *JWTHeader     `json:",omitempty"`
	QueryParam *JWTQueryParam `json:",omitempty"`
	Cookie     *JWTCookie     `json:",omitempty"`
}

// JWTHeader is a header, and what stands before the token in it.
type JWTHeader struct {
	Name        string `json:",omitempty"`
	ValuePrefix string `json:",omitempty"`
	Forward     bool   `json:",omitempty"` // the service gets the token as well
}

// JWTQueryParam is a parameter of the query.
type JWTQueryParam struct {
	Name string `json:",omitempty"`
}

// JWTCookie is a cookie.
type JWTCookie struct {
	Name string `json:",omitempty"`
}

// JWTForwarding has the payload of a token that was accepted put into a header, in base64url.
type JWTForwarding struct {
	HeaderName              string `json:",omitempty"`
	PadForwardPayloadHeader bool
}

// JWTCache says how many tokens a proxy remembers.
type JWTCache struct {
	Size int `json:",omitempty"`
}

// JSONWebKeySet is where the keys come from by which tokens are verified: one of the two.
type JSONWebKeySet struct {
	Local  *LocalJWKS  `json:",omitempty"`
	Remote *RemoteJWKS `json:",omitempty"`
}

// LocalJWKS has the keys in the entry, in base64, or in a file on the host of each proxy.
type LocalJWKS struct {
	JWKS     string `json:",omitempty"`
	Filename string `json:",omitempty"`
}

// RemoteJWKS has each proxy fetch the keys.
type RemoteJWKS struct {
	URI                 string           `json:",omitempty"`
	RequestTimeoutMs    int              `json:",omitempty"`
	CacheDuration       Nanoseconds      `json:",omitempty"`
	FetchAsynchronously bool             `json:",omitempty"`
	UseSNI              bool             `json:",omitempty"`
	RetryPolicy         *JWKSRetryPolicy `json:",omitempty"`
	JWKSCluster         *JWKSCluster     `json:",omitempty"`
}

// JWKSRetryPolicy says how often, and how soon, fetching is tried again.
type JWKSRetryPolicy struct {
	NumRetries         int           `json:",omitempty"`
	RetryPolicyBackOff *RetryBackOff `json:",omitempty"`
}

// RetryBackOff bounds the time between two attempts.
type RetryBackOff struct {
	BaseInterval Nanoseconds `json:",omitempty"`
	MaxInterval  Nanoseconds `json:",omitempty"`
}

// JWKSCluster says how a proxy reaches whoever has the keys.
type JWKSCluster struct {
	DiscoveryType   string               `json:",omitempty"` // STRICT_DNS, STATIC, LOGICAL_DNS, EDS or ORIGINAL_DST
	TLSCertificates *JWKSTLSCertificates `json:",omitempty"`
	ConnectTimeout  Nanoseconds          `json:",omitempty"`
}

// JWKSTLSCertificates says by which authority whoever has the keys is known: one of the two.
type JWKSTLSCertificates struct {
	CaCertificateProviderInstance *JWKSCertificateProvider `json:",omitempty"`
	TrustedCA                     *JWKSTrustedCA           `json:",omitempty"`
}

// JWKSCertificateProvider is an instance of a certificate provider, by the name it has in Envoy's bootstrap.
type JWKSCertificateProvider struct {
	InstanceName    string `json:",omitempty"`
	CertificateName string `json:",omitempty"`
}

// JWKSTrustedCA is a certificate authority: one of the four.
type JWKSTrustedCA struct {
	Filename            string `json:",omitempty"`
	EnvironmentVariable string `json:",omitempty"`
	InlineString        string `json:",omitempty"`
	InlineBytes         []byte `json:",omitempty"`
}
