package stage

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack"
)

// clockProgram prints its clock for each line it reads.
const clockProgram = `package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	start := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().Unix(), int(time.Since(start).Seconds()))
	}
}
`

// A Go program's wall clock is stepped while it runs, and its monotonic clock is not.
func TestSetClocks_Go(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(clockProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "clock")
	if out, err := exec.Command("go", "build", "-o", binary, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
		t.Fatalf("go build = %v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // it ends with its input
	defer func() { _ = in.Close() }()
	for _, d := range []time.Duration{60 * time.Second, -60 * time.Second, 0} {
		if err := SetClocks(d, cmd.Process.Pid); err != nil {
			t.Fatalf("SetClocks(%s) = %v, want nil", d, err)
		}
		fmt.Fprintln(in)
		var wall, mono int64
		if _, err := fmt.Fscan(out, &wall, &mono); err != nil {
			t.Fatal(err)
		}
		if off := wall - time.Now().Unix() - int64(d.Seconds()); math.Abs(float64(off)) > 20 || mono > 20 {
			t.Errorf("SetClocks(%s): the clock is %d s from there, the monotonic one at %d s, want both about 0", d, off, mono)
		}
	}
}

// A server's clock is stepped with all its children's, and those it starts later.
func TestSetClocks_Postgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	old, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if err := SetClocks(time.Minute, p.Processes()...); err != nil {
		t.Fatalf("SetClocks = %v, want nil", err)
	}
	fresh, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*pgx.Conn{"old": old, "new": fresh} {
		var now time.Time
		if err := c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if ahead := time.Until(now); ahead < 40*time.Second || ahead > 80*time.Second {
			t.Errorf("SetClocks(1m): the clock of an %s connection is ahead by %s, want 1m", name, ahead)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
