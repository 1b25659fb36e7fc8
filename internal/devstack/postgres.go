package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit bounds every start; a machine under load needs seconds for initdb.
const startLimit = time.Minute

// PostgresOptions says what kind of cluster to run. Its zero value is a throw-away
// cluster on a free port.
type PostgresOptions struct {
	Dir      string            // keeps the cluster here; "" is a temporary folder that goes with Stop
	Settings map[string]string // postgresql.conf settings; they win over ours
	Durable  bool              // false: fsync and full_page_writes are off, synchronous_commit is on
	Port     int               // 0 is a free port
}

// Postgres is a private cluster on a loopback port. Its methods are safe for
// concurrent use.
type Postgres struct {
	bin     string
	folder  *folder
	options PostgresOptions
	port    int

	mu   sync.Mutex // guards proc and is held through Restart and Stop
	proc *process
}

// StartPostgres makes a cluster, or takes the one in Dir, and starts it. It returns
// when the server takes connections. ctx bounds the start alone; Stop ends the
// server. The error is a [*MissingError] when Postgres is not installed.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	bin, err := findPostgres()
	if err != nil {
		return nil, err
	}
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	f, err := openFolder(options.Dir, "rookery-pg-", a)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	p := &Postgres{bin: bin, folder: f, options: options}
	if err := p.initialize(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.port, err = onFreePort(ctx, options.Port, func(port int) error { return p.launchLocked(ctx, port) }); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), f.close())
	}
	return p, nil
}

// onFreePort calls launch with port, or, when that is 0, with free ports until one
// is not taken from under it.
func onFreePort(ctx context.Context, port int, launch func(port int) error) (int, error) {
	if port != 0 {
		return port, launch(port)
	}
	for range 10 {
		port, err := freePort(ctx)
		if err != nil {
			return 0, err
		}
		err = launch(port)
		if err == nil || ctx.Err() != nil || portFree(ctx, port) { // it failed for another reason
			return port, err
		}
	}
	return 0, errors.New("every port that was free was taken before the server had it")
}

// initialize makes the cluster, unless it is there. It is made under another name
// first: an initdb that was killed must not look like a cluster.
func (p *Postgres) initialize(ctx context.Context) error {
	if _, err := os.Stat(p.data()); err == nil {
		return nil
	}
	unfinished := p.folder.join("data.new")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := run(ctx, p.folder, filepath.Join(p.bin, "initdb"), "-D", unfinished, "-U", "postgres",
		"-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := os.Rename(unfinished, p.data()); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	return nil
}

func (p *Postgres) data() string { return p.folder.join("data") }

// arguments returns the command line for port.
func (p *Postgres) arguments(port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=" + p.socketFolder(),
		"max_connections=200",
		"timezone=UTC",
	}
	if !p.options.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	var chosen []string
	for name, value := range p.options.Settings {
		chosen = append(chosen, name+"="+value)
	}
	slices.Sort(chosen)
	args := []string{"-D", p.data()}
	for _, setting := range append(settings, chosen...) { // of two the later one wins
		args = append(args, "-c", setting)
	}
	return args
}

// socketFolder is where the Unix socket goes: the private folder, or nowhere when
// its path is too long for a socket's name (107 bytes) or would need quoting.
func (p *Postgres) socketFolder() string {
	if len(p.folder.path) > 80 || strings.ContainsAny(p.folder.path, ", \"") {
		return ""
	}
	return p.folder.path
}

// launchLocked starts the server and waits until it takes connections.
func (p *Postgres) launchLocked(ctx context.Context, port int) error {
	proc, err := start(p.folder, syscall.SIGQUIT, filepath.Join(p.bin, "postgres"), p.arguments(port)...)
	if err != nil {
		return err
	}
	if err := proc.await(ctx, p.folder, func() bool { return p.ready(proc) }); err != nil {
		return errors.Join(err, proc.stop(stage{syscall.SIGQUIT, 5 * time.Second}, stage{syscall.SIGKILL, 5 * time.Second}))
	}
	p.proc = proc
	return nil
}

// ready reports whether postmaster.pid names this very process and calls it ready,
// as pg_ctl does. A connection would prove less: it may reach somebody else's server.
func (p *Postgres) ready(proc *process) bool {
	text, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) > 7 && lines[0] == strconv.Itoa(proc.cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready"
}

// URL returns the connection string of a database, as the superuser postgres.
func (p *Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: address(p.port), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Port returns the TCP port, which stays the same through restarts.
func (p *Postgres) Port() int { return p.port }

// Bin returns the folder of the server's programs. On Debian psql and pg_dump lie
// there too.
func (p *Postgres) Bin() string { return p.bin }

// PID returns the process id of the postmaster, which changes with a restart.
func (p *Postgres) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.cmd.Process.Pid
}

// Signal sends sig to the postmaster. The error is os.ErrProcessDone when it has
// ended already.
func (p *Postgres) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.cmd.Process.Signal(sig)
}

// Restart stops the server and starts it again with the same port and data. mode
// is "fast" (transactions are rolled back) or "immediate" (a crash: the next start
// recovers from the WAL). It also starts a server that was killed.
func (p *Postgres) Restart(ctx context.Context, mode string) error {
	signals := map[string]syscall.Signal{"fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}
	first, known := signals[mode]
	if !known {
		return fmt.Errorf(`restart postgres: mode is %q, must be "fast" or "immediate"`, mode)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.stopLocked(first); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	// After a SIGKILL of the postmaster its children hold the shared memory for some
	// milliseconds more, and the new one refuses to start.
	if err := again(ctx, func() error { return p.launchLocked(ctx, p.port) }); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}

// again repeats launch for up to 10 s.
func again(ctx context.Context, launch func() error) error {
	deadline := time.Now().Add(10 * time.Second)
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		err := launch()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		<-pause.C
	}
}

// stopLocked sends first, and harsher signals when that does not help.
func (p *Postgres) stopLocked(first syscall.Signal) error {
	if p.proc.ended() {
		return nil
	}
	return p.proc.stop(stage{first, 10 * time.Second}, stage{syscall.SIGQUIT, 5 * time.Second}, stage{syscall.SIGKILL, 5 * time.Second})
}

// Stop ends the server within 20 s, and removes its folder when that is temporary.
// Calling it again does nothing.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := syscall.SIGINT
	if p.folder.temporary {
		first = syscall.SIGQUIT // the data goes anyway: spare the last checkpoint
	}
	if err := p.stopLocked(first); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	return p.folder.close()
}
