package devstack

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
)

// Tools are what the chaos tests need beside the servers; "" is a missing one.
type Tools struct {
	PgBouncer string // the pooler's program
	Faketime  string // libfaketime, to be preloaded into a server
}

// FindTools returns the tools of this machine. When one is missing it returns the
// other and a [*MissingError].
func FindTools(_ context.Context) (Tools, error) {
	return findTools([]string{"/usr/sbin/pgbouncer"}, "/usr/lib/*/faketime/libfaketime.so.1")
}

// findTools looks for the pooler in PATH and at places, which need not be in PATH.
func findTools(places []string, faketime string) (t Tools, err error) {
	var missing MissingError
	for _, name := range append([]string{"pgbouncer"}, places...) {
		if path, lookErr := exec.LookPath(name); lookErr == nil {
			t.PgBouncer = path
			break
		}
	}
	if t.PgBouncer == "" {
		missing.Packages = append(missing.Packages, "pgbouncer")
	}
	if found, _ := filepath.Glob(faketime); len(found) > 0 { // the pattern is well formed
		t.Faketime = found[0]
	} else {
		missing.Packages = append(missing.Packages, "faketime")
	}
	if len(missing.Packages) > 0 {
		return t, &missing
	}
	return t, nil
}

// InstallTools installs the servers and the tools that are missing, as [Install]
// does.
func InstallTools(ctx context.Context, out io.Writer) error {
	if err := Install(ctx, out); err != nil {
		return err
	}
	return installMissing(ctx, out, func() error {
		_, err := FindTools(ctx)
		return err
	})
}
