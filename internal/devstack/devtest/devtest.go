// Package devtest gives tests real servers: a private Postgres with Rookery's
// migrations and private Redis servers, whatever DATABASE_URL and REDIS_URL say.
//
// Postgres and the Redis Cluster are started once per test process, at the first
// call that needs them, because that takes a second; a plain Redis takes 10 ms and
// every test gets its own. A test process that uses Postgres calls [Main] from its
// TestMain; without it the servers still end with the process, but their folders
// stay until the next run sweeps them. What is not installed is installed when the
// tests run as root; else the test fails and says what to type. It never skips.
package devtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack"
)

// servers are those that all tests of a process share. It is the one piece of
// package state: a test process has no other place that all its tests can see.
var servers struct {
	mu       sync.Mutex
	postgres *devstack.Postgres
	template bool // the template database is there
	cluster  *devstack.RedisCluster
}

// Main runs the tests of m, stops the servers they shared, and exits. It is the
// whole of a TestMain:
//
//	func TestMain(m *testing.M) { devtest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if err := stopAll(); err != nil {
		fmt.Fprintln(os.Stderr, "devtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func stopAll() error {
	servers.mu.Lock()
	defer servers.mu.Unlock()
	var errs []error
	if servers.postgres != nil {
		errs = append(errs, servers.postgres.Stop())
	}
	if servers.cluster != nil {
		errs = append(errs, servers.cluster.Stop())
	}
	servers.postgres, servers.cluster = nil, nil
	return errors.Join(errs...)
}

// install makes sure that the servers are installed.
func install(t testing.TB, ctx context.Context) {
	t.Helper()
	if err := devstack.Install(ctx, os.Stderr); err != nil {
		t.Fatalf("devtest: %v", err)
	}
}

// Programs makes sure that programs are in PATH: root on a machine with apt installs
// what is missing, anybody else is told what to type.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	if err := devstack.InstallPrograms(t.Context(), os.Stderr, names...); err != nil {
		t.Fatalf("devtest: %v", err)
	}
}

// Until asks cond, at first every millisecond and then ever less often, up to every
// 50 ms, until it says true. It fails the test, naming what was waited for, at the
// first error of cond and when timeout has passed.
func Until(t testing.TB, timeout time.Duration, what string, cond func() (bool, error)) {
	t.Helper()
	start := time.Now()
	pause := time.Millisecond
	for {
		ok, err := cond()
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		if time.Since(start) > timeout {
			t.Fatalf("waited %s in vain for %s", timeout, what)
		}
		<-time.After(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}
