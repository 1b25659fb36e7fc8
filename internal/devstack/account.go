package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that servers run as; nil is the user we are.
type account struct {
	name     string
	uid, gid int
}

// serverAccount returns postgres or nobody when we are root, else nil.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up user %s: %w", name, err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("look up user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("look up user %s: %w", name, err)
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("servers must not run as root, and there is neither a user postgres nor nobody")
}

// credential is what the child process changes to.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// give hands path to the account.
func (a *account) give(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("give folder to user %s: %w", a.name, err)
	}
	return nil
}

// canEnter says which folder above path the account may not enter, rather than
// leaving it to a server's riddle.
func (a *account) canEnter(path string) error {
	if a == nil {
		return nil
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		entered := info.Mode()&0o001 != 0 || ok && int(owner.Uid) == a.uid && info.Mode()&0o100 != 0
		if !entered {
			return fmt.Errorf("user %s, as whom root runs the servers, may not enter %s: choose a folder elsewhere", a.name, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
