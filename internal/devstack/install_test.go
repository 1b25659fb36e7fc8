package devstack

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind_SaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b, err := Find(t.Context())
	var missing *MissingError
	if !errors.As(err, &missing) || !slices.Contains(missing.Packages, "redis-server") {
		t.Fatalf("Find() without Redis = %v, want a MissingError with redis-server", err)
	}
	if b.RedisServer != "" {
		t.Errorf("RedisServer = %q, want none", b.RedisServer)
	}
	missing = &MissingError{Packages: []string{"postgresql", "redis-server"}}
	if got, want := missing.Command(), "sudo apt-get install -y postgresql redis-server"; got != want {
		t.Errorf("Command() = %q, want %q", got, want)
	}
}

func TestFind_TakesROOKERY_PG_BIN(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("ROOKERY_PG_BIN", bin)
	if _, err := Find(t.Context()); err == nil || !strings.Contains(err.Error(), "ROOKERY_PG_BIN") {
		t.Errorf("Find() with an empty ROOKERY_PG_BIN = %v, want an error that names it", err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		script(t, filepath.Join(bin, name), "")
	}
	if b, err := Find(t.Context()); b.Postgres != filepath.Join(bin, "postgres") {
		t.Errorf("Find() = %+v, %v, want postgres in %s", b, err, bin)
	}
}

func TestMajorOf_OrdersByNumber(t *testing.T) {
	for bin, want := range map[string]int{"/usr/lib/postgresql/9.6/bin": 0, "/usr/lib/postgresql/15/bin": 15, "/opt/pg/bin": 0} {
		if got := majorOf(bin); got != want {
			t.Errorf("majorOf(%s) = %d, want %d", bin, got, want)
		}
	}
}

func TestAptInstall_InstallsWithoutStartingServices(t *testing.T) {
	dir := t.TempDir()
	apt, policy := filepath.Join(dir, "apt-get"), filepath.Join(dir, "policy-rc.d")
	script(t, apt, `echo "$DEBIAN_FRONTEND $*"; case "$*" in *install*) sh `+policy+`; echo "policy: $?";; *) exit 1;; esac`)
	var out bytes.Buffer
	if err := aptInstall(t.Context(), &out, apt, policy, []string{"redis-server"}); err != nil {
		t.Fatalf("aptInstall = %v; it said:\n%s", err, &out)
	}
	for _, want := range []string{"noninteractive -q update\n", "noninteractive -q install -y ", " redis-server\npolicy: 101\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	if _, err := os.Stat(policy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("policy after the installation: %v, want that it is gone", err)
	}

	script(t, policy, "exit 0")
	script(t, apt, "exit 7")
	if err := aptInstall(t.Context(), &out, apt, policy, []string{"redis-server"}); err == nil {
		t.Error("aptInstall with an apt that fails = nil, want an error")
	}
	if _, err := os.Stat(policy); err != nil {
		t.Errorf("the administrator's own policy: %v, want that it stays", err)
	}
}

func script(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
