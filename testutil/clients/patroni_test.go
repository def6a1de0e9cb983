package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// postgres returns the folder of PostgreSQL's programs.
func postgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	return filepath.Dir(testutil.Tool(t, "postgres"))
}

// A database is a PostgreSQL that Patroni runs.
type database struct {
	name string
	port int
	conf string
	dir  string
	run  *program
}

// patroni is a cluster of them.
type patroni struct {
	bin, psql string
	who       *syscall.SysProcAttr
	agent     *testutil.Agent
}

// capDACOverride lets a process read what only others may.
const capDACOverride = 1

// unprivileged is how PostgreSQL is started, which refuses to be root's. It may still read the programs, wherever they are
// installed.
func unprivileged(t *testing.T, owned string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			t.Fatal(err)
		}
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(owned, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, AmbientCaps: []uintptr{capDACOverride},
	}
}

// database describes a member of the cluster.
func (p *patroni) database(t *testing.T, name, programs, dir string) *database {
	t.Helper()
	ports := testutil.FreePorts(t)
	d := &database{name: name, port: ports.Server, dir: filepath.Join(dir, name)}
	d.conf = writeFile(t, filepath.Join(dir, name+".yml"), fmt.Sprintf(`
scope: pg
name: %[1]s
restapi: {listen: '127.0.0.1:%[2]d', connect_address: '127.0.0.1:%[2]d'}
consul: {host: '%[3]s', register_service: true, service_check_interval: 500ms}
bootstrap:
  dcs: {ttl: 20, loop_wait: 1, retry_timeout: 3, postgresql: {use_pg_rewind: true}}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums, no-sync]
postgresql:
  listen: 127.0.0.1:%[4]d
  connect_address: 127.0.0.1:%[4]d
  bin_dir: %[5]s
  data_dir: %[6]s/%[1]s
  pgpass: %[6]s/%[1]s.pgpass
  parameters: {unix_socket_directories: '', fsync: 'off', shared_buffers: 16MB, max_connections: 20}
  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  authentication: {superuser: {username: postgres}, replication: {username: replicator}, rewind: {username: rewinder}}
`, name, ports.HTTP, p.agent.HTTPAddr(), d.port, programs, dir))
	return d
}

// start starts Patroni, and by it PostgreSQL.
func (p *patroni) start(t *testing.T, d *database) {
	t.Helper()
	// The capability is there from the first program on, which has to be one that everybody may run.
	cmd := exec.Command("/usr/bin/env", p.bin, d.conf)
	attr := *p.who
	cmd.SysProcAttr = &attr
	// Patroni stops PostgreSQL when it is stopped itself. This is for the day when it fails to.
	t.Cleanup(func() { d.killPostgres() })
	d.run = start(t, cmd)
	d.run.name = "patroni of " + d.name
}

// kill ends Patroni and PostgreSQL as a power cut does.
func (d *database) kill() {
	d.run.kill()
	d.killPostgres()
}

// killPostgres ends the PostgreSQL that runs in the database's folder, if any does.
func (d *database) killPostgres() {
	file, err := os.ReadFile(filepath.Join(d.dir, "postmaster.pid"))
	if err != nil {
		return
	}
	first, _, _ := strings.Cut(string(file), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 1 {
		return
	}
	// The file outlives a killed process, whose number may be somebody else's by now.
	if at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && at == d.dir {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// ask runs a statement.
func (p *patroni) ask(ctx context.Context, port int, statement string) (string, error) {
	cmd := exec.CommandContext(ctx, p.psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement,
		fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres connect_timeout=3", port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// wantRole waits until just these databases have a role, by DNS, and say so themselves.
func (p *patroni) wantRole(t *testing.T, role, recovery string, want ...*database) {
	t.Helper()
	names := make([]string, len(want))
	for i, d := range want {
		names[i] = strconv.Itoa(d.port)
	}
	testutil.Eventually(t, fmt.Sprintf("%s at %v", role, names), func(ctx context.Context) error {
		// Priority, weight, port and target of each.
		fields := strings.Fields(dig(t, p.agent.Ports.DNS, "+short", "-t", "SRV", role+".pg.service.consul"))
		found := map[string]bool{}
		for i := 2; i < len(fields); i += 4 {
			found[fields[i]] = true
		}
		if len(found) != len(want) {
			return fmt.Errorf("%s.pg.service.consul: %v", role, fields)
		}
		for _, d := range want {
			if !found[strconv.Itoa(d.port)] {
				return fmt.Errorf("%s.pg.service.consul: %v", role, fields)
			}
			if out, err := p.ask(ctx, d.port, "select pg_is_in_recovery()"); err != nil || out != recovery {
				return fmt.Errorf("%s in recovery: %q, %w", d.name, out, err)
			}
		}
		return nil
	})
}

// wantRows waits until a database has so many rows.
func (p *patroni) wantRows(t *testing.T, d *database, want string) {
	t.Helper()
	testutil.Eventually(t, want+" rows at "+d.name, func(ctx context.Context) error {
		out, err := p.ask(ctx, d.port, "select count(*) from kept")
		if err == nil && out != want {
			err = fmt.Errorf("it has %s", out)
		}
		return err
	})
}

// write writes to a primary.
func (p *patroni) write(t *testing.T, d *database, statement string) {
	t.Helper()
	if out, err := p.ask(t.Context(), d.port, statement); err != nil {
		t.Fatal(out, err)
	}
}

// TestPatroni has Patroni elect a primary of PostgreSQL by a session and a lock, tell the world by DNS, and fail over when the
// primary is killed.
func TestPatroni(t *testing.T) {
	t.Parallel()
	bin := client(t, "PARLEY_PATRONI")
	testutil.Tool(t, "dig")
	programs := postgres(t)
	dir := t.TempDir()
	p := &patroni{bin: bin, psql: filepath.Join(programs, "psql"), who: unprivileged(t, dir), agent: testutil.Dev(t)}
	one, two := p.database(t, "one", programs, dir), p.database(t, "two", programs, dir)

	p.start(t, one)
	p.wantRole(t, "primary", "f", one)
	p.start(t, two)
	p.wantRole(t, "replica", "t", two)
	p.write(t, one, "create table kept (n int); insert into kept values (1)")
	p.wantRows(t, two, "1")
	ctl := func(args ...string) string {
		t.Helper()
		return run(t, append([]string{filepath.Join(filepath.Dir(bin), "patronictl"), "-c", one.conf}, args...)...)
	}
	if out := ctl("list"); strings.Count(out, "Leader") != 1 || strings.Count(out, "Replica") != 1 || !strings.Contains(out, "streaming") {
		t.Errorf("patronictl list:\n%s", out)
	}

	one.kill()
	// Nobody gives the lock back: it is free when the session's time to live has passed.
	testutil.Eventually(t, "the lock to be free, or another's", func(ctx context.Context) error {
		pair, _, err := p.agent.API.KV().Get(ctx, "service/pg/leader", nil)
		if err == nil && pair != nil && string(pair.Value) == one.name {
			err = errors.New("the killed primary has it")
		}
		return err
	})
	p.wantRole(t, "primary", "f", two)
	p.write(t, two, "insert into kept values (2)")

	// Who comes back follows.
	p.start(t, one)
	p.wantRole(t, "replica", "t", one)
	p.wantRows(t, one, "2")

	// The primary hands over when it is asked to.
	ctl("switchover", "pg", "--leader", "two", "--candidate", "one", "--force")
	p.wantRole(t, "primary", "f", one)
	p.wantRole(t, "replica", "t", two)
	p.write(t, one, "insert into kept values (3)")
	p.wantRows(t, two, "3")
}
