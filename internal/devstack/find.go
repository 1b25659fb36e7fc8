package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Binaries are the paths of the programs that devstack starts; "" is a missing one.
type Binaries struct {
	Initdb      string
	Postgres    string
	RedisServer string
}

// MissingError says which servers or programs are not installed, and what to type.
type MissingError struct {
	Packages []string // names of Debian packages, never empty
}

// Error names the packages and the command that installs them.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s not installed; type: %s", strings.Join(e.Packages, " and "), e.Command())
}

// Command is the command that installs what is missing.
func (e *MissingError) Command() string {
	return "sudo apt-get install -y " + strings.Join(e.Packages, " ")
}

// Find returns the servers of this machine: Postgres from the folder that
// ROOKERY_PG_BIN names, else the newest below /usr/lib/postgresql, else PATH;
// Redis from PATH. When one is missing it returns the other and a [*MissingError].
func Find(_ context.Context) (Binaries, error) {
	var b Binaries
	var missing MissingError
	if bin, err := findPostgres(); err == nil {
		b.Initdb, b.Postgres = filepath.Join(bin, "initdb"), filepath.Join(bin, "postgres")
	} else if !isMissing(err) {
		return b, err
	} else {
		missing.Packages = append(missing.Packages, "postgresql")
	}
	if path, err := findRedis(); err == nil {
		b.RedisServer = path
	} else if !isMissing(err) {
		return b, err
	} else {
		missing.Packages = append(missing.Packages, "redis-server")
	}
	if len(missing.Packages) > 0 {
		return b, &missing
	}
	return b, nil
}

func isMissing(err error) bool {
	var missing *MissingError
	return errors.As(err, &missing)
}

// findPostgres returns the folder that holds initdb and postgres.
func findPostgres() (string, error) {
	if bin := os.Getenv("ROOKERY_PG_BIN"); bin != "" {
		if !holdsPostgres(bin) {
			return "", fmt.Errorf("ROOKERY_PG_BIN: %s does not hold initdb and postgres", bin)
		}
		return filepath.Abs(bin)
	}
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(bins, func(a, b string) int { return majorOf(b) - majorOf(a) })
	for _, bin := range bins {
		if holdsPostgres(bin) {
			return bin, nil
		}
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link in PATH may lead into the real folder, and only that one has all.
		if path, err = filepath.EvalSymlinks(path); err == nil && holdsPostgres(filepath.Dir(path)) {
			return filepath.Abs(filepath.Dir(path))
		}
	}
	return "", &MissingError{Packages: []string{"postgresql"}}
}

// majorOf returns the 15 of /usr/lib/postgresql/15/bin.
func majorOf(bin string) int {
	major, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // not a number: 0, the last choice
	return major
}

func holdsPostgres(bin string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(bin, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func findRedis() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", &MissingError{Packages: []string{"redis-server"}}
	}
	return filepath.Abs(path)
}
