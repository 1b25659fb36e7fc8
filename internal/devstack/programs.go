package devstack

import (
	"cmp"
	"context"
	"io"
	"os/exec"
)

// packages names the Debian package of a program, where it is not that of the program.
var packages = map[string]string{"node": "nodejs"}

// InstallPrograms installs those of some programs that are not in PATH, as [Install] does
// with servers: what examples in other languages are run with.
func InstallPrograms(ctx context.Context, out io.Writer, names ...string) error {
	return installMissing(ctx, out, func() error { return findPrograms(names) })
}

func findPrograms(names []string) error {
	var missing MissingError
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing.Packages = append(missing.Packages, cmp.Or(packages[name], name))
		}
	}
	if len(missing.Packages) > 0 {
		return &missing
	}
	return nil
}
