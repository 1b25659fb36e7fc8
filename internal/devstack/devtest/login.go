package devtest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// logins counts the users made, to name them: they belong to the whole server.
var logins atomic.Int64

// Login makes a user that has roles and nothing else, and returns the URL of the
// same database for it. admin is a superuser's URL of that database. The user goes
// when the test ends.
func Login(t testing.TB, admin string, roles ...string) string {
	t.Helper()
	u, err := url.Parse(admin)
	must(t, err)
	name := fmt.Sprintf("login_%d_%s", logins.Add(1), strings.Join(roles, "_"))
	statement := "CREATE ROLE " + name + " LOGIN"
	if len(roles) > 0 {
		statement += " IN ROLE " + strings.Join(roles, ", ")
	}
	must(t, executeAt(admin, statement))
	// A role outlives the test's database, and a server of the test's own may be gone.
	t.Cleanup(func() { _ = executeAt(admin, "DROP ROLE "+name) })
	u.User = url.User(name)
	return u.String()
}

func executeAt(admin, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
