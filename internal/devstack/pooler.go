package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Pooler is a private PgBouncer in transaction mode, in front of one Postgres. Its
// methods are safe for concurrent use.
type Pooler struct {
	binary string
	folder *folder
	port   int
	users  []string

	mu   sync.Mutex // guards proc and target
	proc *process
	host string // of the Postgres it leads to
}

// StartPooler starts a PgBouncer in front of the Postgres that listens at target, in
// a folder that goes with Stop. It lets users in, without a password, and each is
// itself in Postgres; without users, it lets everybody in as postgres. The error is a
// [*MissingError] when it is not installed.
func StartPooler(ctx context.Context, target string, users ...string) (*Pooler, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tools, err := FindTools(ctx)
	if tools.PgBouncer == "" {
		return nil, err
	}
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	f, err := openFolder("", "rookery-pooler-", a)
	if err != nil {
		return nil, fmt.Errorf("start pooler: %w", err)
	}
	p := &Pooler{binary: tools.PgBouncer, folder: f, host: target, users: users}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.port, err = onFreePort(ctx, 0, func(port int) error { return p.launchLocked(ctx, port) }); err != nil {
		return nil, errors.Join(fmt.Errorf("start pooler: %w", err), f.close())
	}
	return p, nil
}

// configureLocked writes the configuration for port.
func (p *Pooler) configureLocked(port int) error {
	host, targetPort, err := net.SplitHostPort(p.host)
	if err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	user, auth := " user=postgres", "auth_type = any"
	if len(p.users) > 0 {
		user, auth = "", "auth_type = trust\nauth_file = "+p.folder.join("users")
		var list strings.Builder
		for _, name := range p.users {
			fmt.Fprintf(&list, "%q \"\"\n", name)
		}
		if err := os.WriteFile(p.folder.join("users"), []byte(list.String()), 0o644); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
%s
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_login_retry = 1
server_connect_timeout = 3
log_connections = 0
log_disconnections = 0
`, host, targetPort, user, port, auth)
	return os.WriteFile(p.folder.join("pgbouncer.ini"), []byte(text), 0o644)
}

func (p *Pooler) launchLocked(ctx context.Context, port int) error {
	if err := p.configureLocked(port); err != nil {
		return err
	}
	proc, err := start(p.folder, syscall.SIGKILL, p.binary, p.folder.join("pgbouncer.ini"))
	if err != nil {
		return err
	}
	var d net.Dialer
	if err := proc.await(ctx, p.folder, func() bool {
		c, err := d.DialContext(ctx, "tcp", address(port))
		return err == nil && c.Close() == nil
	}); err != nil {
		return errors.Join(err, proc.stop(stage{syscall.SIGKILL, 5 * time.Second}))
	}
	p.proc = proc
	return nil
}

// Addr returns where it listens.
func (p *Pooler) Addr() string { return address(p.port) }

// Aim has it lead to another Postgres: RELOAD, as after a failover. Its clients stay
// connected; the connections it has to the old one end with that.
func (p *Pooler) Aim(target string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = target
	if err := p.configureLocked(p.port); err != nil {
		return err
	}
	return p.proc.cmd.Process.Signal(syscall.SIGHUP)
}

// Stop ends it and removes its folder. Calling it again does nothing.
func (p *Pooler) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.proc.ended() {
		if err := p.proc.stop(stage{syscall.SIGTERM, 5 * time.Second}, stage{syscall.SIGKILL, 5 * time.Second}); err != nil {
			return fmt.Errorf("stop pooler: %w", err)
		}
	}
	return p.folder.close()
}
