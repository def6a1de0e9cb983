package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	sockaddr "github.com/hashicorp/go-sockaddr/template"
)

// Addrs are the addresses that the settings come to.
type Addrs struct {
	Bind         netip.Addr // for RPC, and for gossip unless SerfLAN and SerfWAN differ
	SerfLAN      netip.Addr
	SerfWAN      netip.Addr
	Advertise    netip.Addr // what other agents are told
	AdvertiseWAN netip.Addr

	// Listeners, *net.TCPAddr or *net.UnixAddr; none where the port is closed.
	DNS, HTTP, HTTPS, GRPC, GRPCTLS []net.Addr
}

// Tagged returns the node's tagged addresses.
func (a Addrs) Tagged() map[string]string {
	tagged := make(map[string]string)
	for name, addr := range map[string]netip.Addr{"lan": a.Advertise, "wan": a.AdvertiseWAN} {
		family := "_ipv4"
		if addr.Is6() {
			family = "_ipv6"
		}
		tagged[name] = addr.String()
		tagged[name+family] = addr.String()
	}
	return tagged
}

// Host is what Load asks of the machine. Functions that are nil ask the real one.
type Host struct {
	Hostname  func() (string, error)
	LookupEnv func(string) (string, bool)
	Addrs     func() ([]netip.Addr, error)          // of all interfaces
	Outbound  func(ipv6 bool) (netip.Addr, error)   // the one that the default route uses
	Expand    func(template string) (string, error) // a go-sockaddr template
}

func (h Host) hostname() (string, error) {
	if h.Hostname != nil {
		return h.Hostname()
	}
	return os.Hostname()
}

func (h Host) lookupEnv(name string) (string, bool) {
	if h.LookupEnv != nil {
		return h.LookupEnv(name)
	}
	return os.LookupEnv(name)
}

func (h Host) expand(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	expand := sockaddr.Parse
	if h.Expand != nil {
		expand = h.Expand
	}
	out, err := expand(text)
	if err == nil && strings.TrimSpace(out) == "" {
		err = errors.New("it matches no address of this host")
	}
	if err != nil {
		return "", fmt.Errorf("template %s: %w", text, err)
	}
	return out, nil
}

func (h Host) addrs() ([]netip.Addr, error) {
	if h.Addrs != nil {
		return h.Addrs()
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range found {
		if ipnet, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(ipnet.IP); ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs, nil
}

func (h Host) outbound(ipv6 bool) (netip.Addr, error) {
	if h.Outbound != nil {
		return h.Outbound(ipv6)
	}
	// Connecting a UDP socket to a documentation address sends nothing; it only picks the source address.
	to := "192.0.2.1:9"
	if ipv6 {
		to = "[2001:db8::1]:9"
	}
	conn, err := net.Dial("udp", to)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// resolveAddrs works out Addrs.
func (r *reader) resolveAddrs(h Host) {
	c, a := r.cfg, &r.cfg.Addrs
	a.Bind = r.oneAddr(h, "bind_addr", c.BindAddr)
	a.SerfLAN = r.addrOr(h, "serf_lan", c.SerfLAN, a.Bind)
	a.SerfWAN = r.addrOr(h, "serf_wan", c.SerfWAN, a.Bind)
	r.resolveAdvertise(h)

	a.DNS = r.listen(h, "dns", c.Addresses.DNS, c.Ports.DNS)
	a.HTTP = r.listen(h, "http", c.Addresses.HTTP, c.Ports.HTTP)
	a.HTTPS = r.listen(h, "https", c.Addresses.HTTPS, c.Ports.HTTPS)
	a.GRPC = r.listen(h, "grpc", c.Addresses.GRPC, c.Ports.GRPC)
	a.GRPCTLS = r.listen(h, "grpc_tls", c.Addresses.GRPCTLS, c.Ports.GRPCTLS)
	if slices.ContainsFunc(a.DNS, isUnix) {
		r.fail("addresses.dns", "DNS cannot be served on a Unix socket")
	}
}

func (r *reader) resolveAdvertise(h Host) {
	c, a := r.cfg, &r.cfg.Addrs
	v4 := r.addrOr(h, "advertise_addr_ipv4", c.AdvertiseAddrIPv4, netip.Addr{})
	v6 := r.addrOr(h, "advertise_addr_ipv6", c.AdvertiseAddrIPv6, netip.Addr{})
	switch {
	case c.AdvertiseAddr != "":
		a.Advertise = r.oneAddr(h, "advertise_addr", c.AdvertiseAddr)
	case v4.IsValid():
		a.Advertise = v4
	case v6.IsValid():
		a.Advertise = v6
	case a.SerfLAN.IsValid() && !a.SerfLAN.IsUnspecified():
		a.Advertise = a.SerfLAN
	case a.Bind.IsValid():
		a.Advertise = r.ownAddr(h, a.Bind)
	}
	if a.Advertise.IsUnspecified() {
		r.fail("advertise_addr", "%s is no address that others could reach this agent at; name one, or a template such as {{ GetPrivateIP }}", a.Advertise)
	}
	v4 = r.addrOr(h, "advertise_addr_wan_ipv4", c.AdvertiseAddrWANIPv4, a.Advertise)
	v6 = r.addrOr(h, "advertise_addr_wan_ipv6", c.AdvertiseAddrWANIPv6, v4)
	a.AdvertiseWAN = r.addrOr(h, "advertise_addr_wan", c.AdvertiseAddrWAN, v6)
}

// ownAddr picks the address that others will reach an agent at which listens everywhere: a private one, on the
// interface of the default route if there are several.
func (r *reader) ownAddr(h Host, bind netip.Addr) netip.Addr {
	if !bind.IsUnspecified() {
		return bind
	}
	all, err := h.addrs()
	if err != nil {
		r.fail("advertise_addr", "the addresses of this host cannot be listed (%v); set it", err)
		return bind
	}
	var private, public []netip.Addr
	for _, addr := range all {
		switch {
		case addr.Is6() != bind.Is6() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || !addr.IsGlobalUnicast():
		case addr.IsPrivate():
			private = append(private, addr)
		default:
			public = append(public, addr)
		}
	}
	candidates := private
	if len(private) == 0 {
		candidates = public
	}
	switch len(candidates) {
	case 0:
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if bind.Is6() {
			loopback = netip.IPv6Loopback()
		}
		r.warn("advertise_addr", "this host has no address besides loopback, so that no other host can reach this agent")
		return loopback
	case 1:
		return candidates[0]
	}
	out, err := h.outbound(bind.Is6())
	if err != nil || !slices.Contains(candidates, out) {
		r.fail("advertise_addr", "this host has several addresses (%s); set the one that other agents reach", join(candidates))
		return candidates[0]
	}
	return out
}

func join(addrs []netip.Addr) string {
	var text []string
	for _, a := range addrs {
		text = append(text, a.String())
	}
	return strings.Join(text, ", ")
}

func (r *reader) addrOr(h Host, key, text string, otherwise netip.Addr) netip.Addr {
	if text == "" {
		return otherwise
	}
	return r.oneAddr(h, key, text)
}

// oneAddr reads a setting that is one IP address, perhaps through a template.
func (r *reader) oneAddr(h Host, key, text string) netip.Addr {
	expanded, err := h.expand(text)
	if err != nil {
		r.fail(key, "%v", err)
		return netip.Addr{}
	}
	fields := strings.Fields(expanded)
	if len(fields) != 1 {
		r.fail(key, "%q comes to %d addresses; want one", text, len(fields))
		return netip.Addr{}
	}
	addr, err := parseIP(fields[0])
	if err != nil {
		r.fail(key, "%v", err)
	}
	return addr
}

func parseIP(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	}
	return addr.Unmap(), nil
}

// listen works out the addresses of one client-facing listener.
func (r *reader) listen(h Host, name, text string, port int) []net.Addr {
	key := "addresses." + name
	if text == "" {
		key, text = "client_addr", r.cfg.ClientAddr
	}
	expanded, err := h.expand(text)
	if err != nil {
		r.fail(key, "%v", err)
		return nil
	}
	fields := strings.Fields(expanded)
	if len(fields) == 0 {
		r.fail(key, "%q names no address", text)
	}
	var addrs []net.Addr
	for _, field := range fields {
		if path, ok := strings.CutPrefix(field, "unix://"); ok {
			addrs = append(addrs, &net.UnixAddr{Name: path, Net: "unix"})
			continue
		}
		addr, err := parseIP(field)
		if err != nil {
			r.fail(key, "%v", err)
			continue
		}
		if port != Closed {
			addrs = append(addrs, net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))))
		}
	}
	return addrs
}

func isUnix(a net.Addr) bool {
	_, ok := a.(*net.UnixAddr)
	return ok
}

// expandJoins replaces templates among the addresses to join.
func (r *reader) expandJoins(h Host, key string, list []string) []string {
	var out []string
	for _, text := range list {
		if strings.HasPrefix(text, "provider=") {
			r.warn(key, "%s: finding agents through a cloud provider has no effect yet; name their addresses", text)
			continue
		}
		expanded, err := h.expand(text)
		if err != nil {
			r.fail(key, "%v", err)
			continue
		}
		for _, addr := range strings.Fields(expanded) {
			if err := checkJoin(addr); err != nil {
				r.fail(key, "%v", err)
				continue
			}
			out = append(out, addr)
		}
	}
	return out
}

// checkJoin wants an address or name, with or without a port. IPv6 needs brackets only with a port.
func checkJoin(addr string) error {
	if _, err := parseIP(addr); err == nil {
		return nil
	}
	host, port := addr, ""
	if strings.Contains(addr, ":") {
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%q is not an address: want host or host:port", addr)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q: the port must be between 1 and 65535", addr)
		}
	}
	if host == "" || strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("%q is not an address: want host or host:port", addr)
	}
	return nil
}
