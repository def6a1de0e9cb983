package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// deviceName is what a host's only line is called in its namespace.
const deviceName = "mesh0"

// Host is a network namespace with a device, and a thread in it. It has mounts of its own as well.
type Host struct {
	Name string

	network *Network
	addr    netip.Addr // guarded by network.mu
	device  *os.File
	jobs    chan func()   // what the thread is to do
	quit    chan struct{} // closed when it is to end
	done    chan struct{} // closed when it has
}

// Host adds a host to the network. Where the kernel refuses, the test is skipped.
func (n *Network) Host(name string) *Host {
	n.t.Helper()
	h := &Host{Name: name, network: n, jobs: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	failed := make(chan error)
	go h.live(failed)
	if err := <-failed; err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT) {
			n.t.Skipf("skipped: this kernel gives us no hosts of our own: %v; run the tests as root, or under unshare -r where /dev/net/tun may be opened by everybody", err)
		}
		n.t.Fatal(err)
	}
	n.readers.Go(func() { n.read(h) })
	n.t.Cleanup(func() {
		_ = h.device.Close()
		close(h.quit)
		<-h.done
	})
	return h
}

// live is the life of the host's thread. It ends with it, and takes the namespaces along once no process is in them.
func (h *Host) live(failed chan<- error) {
	defer close(h.done)
	runtime.LockOSThread() // and never unlocked: nobody else may have a thread that is elsewhere
	err := h.settle()
	failed <- err
	if err != nil {
		return
	}
	for {
		select {
		case do := <-h.jobs:
			do()
		case <-h.quit:
			return
		}
	}
}

// do has the host's thread do something.
func (h *Host) do(what func() error) error {
	result := make(chan error, 1)
	select {
	case h.jobs <- func() { result <- what() }:
		return <-result
	case <-h.done:
		return fmt.Errorf("host %s is not there any more: %w", h.Name, net.ErrClosed)
	}
}

// settle moves the thread into namespaces of its own and gives them a device.
func (h *Host) settle() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to the host: %w", err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(deviceName)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err == nil {
		err = errors.Join(up("lo"), h.setAddress(), up(deviceName))
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("make a TUN device: %w", err)
	}
	h.device = os.NewFile(uintptr(fd), deviceName)
	return nil
}

// setAddress gives the device an address that nobody has had before. It is called by the host's thread.
func (h *Host) setAddress() error {
	a, mask := h.network.address(h).As4(), [4]byte{255, 255, 255, 0}
	return errors.Join(
		set(deviceName, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(a[:]) }),
		set(deviceName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }))
}

func up(device string) error {
	return set(device, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	})
}

// set tells the kernel something of a device of the calling thread's namespace.
func set(device string, what uint, fill func(*unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	if err := fill(r); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, what, r)
}

// receive hands the host a packet. One that it has no room for is lost, as on any line.
func (h *Host) receive(packet []byte) { _, _ = h.device.Write(packet) }

// Addr is where other hosts reach this one.
func (h *Host) Addr() string {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	return h.addr.String()
}

// Move gives the host another address, in place of the one that it has.
func (h *Host) Move() error { return h.do(h.setAddress) }

// Start starts a command on this host.
func (h *Host) Start(cmd *exec.Cmd) error { return h.do(cmd.Start) }

// Dial connects to what listens on this host. The address is one of the host's own, in figures.
func (h *Host) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// SmallDisk mounts a disk of so many bytes at a directory, for this host alone. It is gone with the host.
func (h *Host) SmallDisk(dir string, size int64) error {
	return h.do(func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)) })
}

// WriteFile is os.WriteFile by this host, which may have disks of its own.
func (h *Host) WriteFile(name string, data []byte) error {
	return h.do(func() error { return os.WriteFile(name, data, 0o600) })
}

// Remove is os.Remove by this host.
func (h *Host) Remove(name string) error { return h.do(func() error { return os.Remove(name) }) }
