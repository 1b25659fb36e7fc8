package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisOptions says what kind of Redis to run. Its zero value is a throw-away one
// on a free port, which writes nothing to disk.
type RedisOptions struct {
	Dir      string   // keeps the data here; "" is a temporary folder that goes with Stop
	AOF      bool     // appendonly yes, appendfsync everysec
	Args     []string // more of redis-server's arguments; they win over ours
	Port     int      // 0 is a free port
	Password string   // requirepass; "" is none
}

// Redis is a private server on a loopback port. Its methods are safe for concurrent
// use.
type Redis struct {
	binary  string
	folder  *folder
	options RedisOptions
	port    int

	mu   sync.Mutex // guards proc and is held through Restart and Stop
	proc *process
}

// StartRedis starts a server and returns when it has loaded its data and answers.
// ctx bounds the start alone; Stop ends the server. The error is a [*MissingError]
// when Redis is not installed.
func StartRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	binary, err := findRedis()
	if err != nil {
		return nil, err
	}
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	f, err := openFolder(options.Dir, "rookery-redis-", a)
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	r := &Redis{binary: binary, folder: f, options: options}
	if err := r.makeData(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.port, err = onFreePort(ctx, options.Port, func(port int) error { return r.launchLocked(ctx, port) }); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis: %w", err), f.close())
	}
	return r, nil
}

func (r *Redis) makeData() error {
	if err := os.MkdirAll(r.data(), 0o755); err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	return r.folder.account.give(r.data())
}

func (r *Redis) data() string { return r.folder.join("data") }

// arguments returns the command line for port.
func (r *Redis) arguments(port int) []string {
	args := []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", r.data(), "--daemonize", "no",
		"--pidfile", filepath.Join(r.data(), "redis.pid"),
		"--save", "", "--maxmemory-policy", "noeviction",
	}
	if r.options.AOF {
		args = append(args, "--appendonly", "yes", "--appendfsync", "everysec")
	}
	if r.options.Password != "" {
		args = append(args, "--requirepass", r.options.Password)
	}
	return append(args, r.options.Args...)
}

// launchLocked starts the server and waits until it answers.
func (r *Redis) launchLocked(ctx context.Context, port int) error {
	proc, err := start(r.folder, syscall.SIGKILL, r.binary, r.arguments(port)...)
	if err != nil {
		return err
	}
	ready := func() bool { return answers(ctx, proc, port, r.options.Password) }
	if err := proc.await(ctx, r.folder, ready); err != nil {
		return errors.Join(err, proc.stop(stage{syscall.SIGKILL, 5 * time.Second}))
	}
	r.proc = proc
	return nil
}

// answers reports whether proc, and not somebody else's server, answers on port and
// has loaded its data.
func answers(ctx context.Context, proc *process, port int, password string) bool {
	knock := net.Dialer{Timeout: time.Second}
	conn, err := knock.DialContext(ctx, "tcp", address(port))
	if err != nil {
		return false // go-redis would log this, and wait before it tried again
	}
	_ = conn.Close()
	client := redis.NewClient(&redis.Options{
		Addr: address(port), Password: password, PoolSize: 1, MaxRetries: -1, ReadTimeout: time.Second,
	})
	defer func() { _ = client.Close() }()
	info, err := client.Info(ctx, "server").Result()
	if err != nil || !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", proc.cmd.Process.Pid)) {
		return false
	}
	return client.Ping(ctx).Err() == nil
}

// Addr returns host and port, which stay the same through restarts.
func (r *Redis) Addr() string { return address(r.port) }

// URL returns redis://127.0.0.1:port/0, with the password when there is one.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", Host: r.Addr(), Path: "/0"}
	if r.options.Password != "" {
		u.User = url.UserPassword("", r.options.Password)
	}
	return u.String()
}

// PID returns the process id of the server, which changes with a restart.
func (r *Redis) PID() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.cmd.Process.Pid
}

// Signal sends sig to the server. The error is os.ErrProcessDone when it has ended
// already.
func (r *Redis) Signal(sig os.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.cmd.Process.Signal(sig)
}

// Restart stops the server (SIGTERM) and starts it again with the same port and
// folder: without AOF it comes back empty. It also starts a server that was killed.
func (r *Redis) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.stopLocked(); err != nil {
		return fmt.Errorf("restart redis: %w", err)
	}
	if err := again(ctx, func() error { return r.launchLocked(ctx, r.port) }); err != nil {
		return fmt.Errorf("restart redis: %w", err)
	}
	return nil
}

func (r *Redis) stopLocked() error {
	if r.proc.ended() {
		return nil
	}
	return r.proc.stop(stage{syscall.SIGTERM, 5 * time.Second}, stage{syscall.SIGKILL, 5 * time.Second})
}

// Stop ends the server within 10 s, and removes its folder when that is temporary.
// Calling it again does nothing.
func (r *Redis) Stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.stopLocked(); err != nil {
		return fmt.Errorf("stop redis: %w", err)
	}
	return r.folder.close()
}
