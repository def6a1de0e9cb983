package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// DefaultAddress is where an agent serves HTTP unless told otherwise.
const DefaultAddress = "127.0.0.1:8500"

// Config says how to reach an agent. The zero value is a local agent in the clear, without a token.
type Config struct {
	Address    string // "host:port", "http://...", "https://..." or "unix:///path"; empty: DefaultAddress
	TLS        bool   // https where Address names no scheme
	Token      string
	TokenFile  string // read once, by New, when Token is empty
	Auth       string // "user" or "user:password" for HTTP basic authentication
	Datacenter string // for requests that name none
	Namespace  string
	Partition  string

	CAFile        string // PEM; empty with CAPath: the system's roots
	CAPath        string // a directory of PEM files
	CertFile      string // the client's certificate
	KeyFile       string
	TLSServerName string // expected in the server's certificate in place of the address
	TLSSkipVerify bool

	AddressVariable string // the environment variable that errors advise for another address; empty: PARLEY_HTTP_ADDR
	AddressFrom     string // where Address comes from, such as a variable or a flag, for errors to say; empty: nowhere in particular
}

// ConfigFromEnv fills a Config from environment variables, read by getenv (os.Getenv). PARLEY_HTTP_ADDR is read and,
// where it is not set, CONSUL_HTTP_ADDR; likewise the others.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	env := func(name string) string { return firstOf(getenv("PARLEY_"+name), getenv("CONSUL_"+name)) }
	config := Config{
		Address:       env("HTTP_ADDR"),
		Token:         env("HTTP_TOKEN"),
		TokenFile:     env("HTTP_TOKEN_FILE"),
		Auth:          env("HTTP_AUTH"),
		Namespace:     env("NAMESPACE"),
		Partition:     env("PARTITION"),
		CAFile:        env("CACERT"),
		CAPath:        env("CAPATH"),
		CertFile:      env("CLIENT_CERT"),
		KeyFile:       env("CLIENT_KEY"),
		TLSServerName: env("TLS_SERVER_NAME"),
	}
	for _, name := range []string{"CONSUL_HTTP_ADDR", "PARLEY_HTTP_ADDR"} {
		if getenv(name) != "" {
			config.AddressFrom = name
		}
	}
	var err error
	if config.TLS, err = envBool(env, "HTTP_SSL", false); err != nil {
		return Config{}, err
	}
	verify, err := envBool(env, "HTTP_SSL_VERIFY", true)
	if err != nil {
		return Config{}, err
	}
	config.TLSSkipVerify = !verify
	return config, nil
}

func envBool(env func(string) string, name string, absent bool) (bool, error) {
	text := env(name)
	if text == "" {
		return absent, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("PARLEY_%s (or CONSUL_%s): want true or false, not %q", name, name, text)
	}
	return b, nil
}

// New makes a client. It opens no connection; it reads the token and certificate files that the configuration names.
func New(config Config) (*Client, error) {
	network, dialAddress, base, err := parseAddress(config)
	if err != nil {
		return nil, err
	}
	token, err := readToken(config)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := clientTLS(config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer(network, dialAddress),
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}
	if network == "unix" {
		transport.Proxy = nil
	}
	return &Client{
		base:      base,
		socket:    network == "unix",
		shown:     addressShown(config),
		variable:  firstOf(config.AddressVariable, "PARLEY_HTTP_ADDR"),
		http:      &http.Client{Transport: transport, CheckRedirect: sameHost},
		token:     token,
		user:      basicAuth(config.Auth),
		dc:        config.Datacenter,
		namespace: config.Namespace,
		partition: config.Partition,
	}, nil
}

// addressShown is the address as errors tell it.
func addressShown(config Config) string {
	switch {
	case config.Address == "":
		return DefaultAddress + ", where one listens unless it is told otherwise"
	case config.AddressFrom != "":
		return config.Address + ", which " + config.AddressFrom + " names"
	}
	return config.Address
}

// parseAddress splits what people write into how to dial and the base of URLs. The network is empty for TCP.
func parseAddress(config Config) (network, address string, base url.URL, err error) {
	text := firstOf(config.Address, DefaultAddress)
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "http", text
		if config.TLS {
			scheme = "https"
		}
	}
	switch scheme {
	case "unix":
		// The host only fills the Host header: the transport dials the socket whatever it says.
		scheme = "http"
		if config.TLS {
			scheme = "https"
		}
		if rest == "" {
			return "", "", url.URL{}, fmt.Errorf("agent address %q: no path after unix://", text)
		}
		return "unix", rest, url.URL{Scheme: scheme, Host: "localhost"}, nil
	case "http", "https":
		host, _, _ := strings.Cut(rest, "/")
		u, err := url.Parse(scheme + "://" + host)
		if err != nil || u.Host == "" || u.User != nil || strings.TrimRight(rest[len(host):], "/") != "" {
			return "", "", url.URL{}, fmt.Errorf("agent address %q: want host:port, http://host:port, https://host:port or unix:///path", text)
		}
		return "", "", url.URL{Scheme: scheme, Host: u.Host}, nil
	}
	return "", "", url.URL{}, fmt.Errorf("agent address %q: unknown scheme %q, want http, https or unix", text, scheme)
}

func dialer(network, address string) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if network == "" {
		return d.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, address) }
}

// sameHost stops at redirects elsewhere: a token is for the agent that was named, and no other.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		return fmt.Errorf("refused a redirect to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	if len(via) >= 5 {
		return errors.New("stopped after 5 redirects")
	}
	return nil
}

func readToken(config Config) (string, error) {
	if config.Token != "" || config.TokenFile == "" {
		return config.Token, nil
	}
	data, err := os.ReadFile(config.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("the token file %s is empty", config.TokenFile)
	}
	return token, nil
}

func basicAuth(auth string) *url.Userinfo {
	if auth == "" {
		return nil
	}
	user, password, _ := strings.Cut(auth, ":")
	return url.UserPassword(user, password)
}

func clientTLS(config Config) (*tls.Config, error) {
	t := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         config.TLSServerName,
		InsecureSkipVerify: config.TLSSkipVerify,
	}
	if config.CertFile != "" || config.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load the client certificate %q with key %q: %w", config.CertFile, config.KeyFile, err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	roots, err := rootCertificates(config)
	t.RootCAs = roots
	return t, err
}

// rootCertificates reads the configured roots; nil stands for the system's.
func rootCertificates(config Config) (*x509.CertPool, error) {
	var files []string
	if config.CAPath != "" {
		entries, err := os.ReadDir(config.CAPath)
		if err != nil {
			return nil, fmt.Errorf("read the directory of CA certificates: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() {
				files = append(files, filepath.Join(config.CAPath, entry.Name()))
			}
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("there is no CA certificate in %s", config.CAPath)
		}
	}
	if config.CAFile != "" {
		files = append(files, config.CAFile)
	}
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the CA certificate: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no PEM certificate in %s", file)
		}
	}
	return pool, nil
}
