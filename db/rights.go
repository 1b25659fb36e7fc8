package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// The roles that migrations make for processes that do one thing. Who has
// rookery_server has them all.
const (
	RelayRole  = "rookery_relay"
	WorkerRole = "rookery_worker"
	PusherRole = "rookery_pusher" // what push workers may beside WorkerRole
	APIRole    = "rookery_api"
)

// Rights is what a user may do, measured against the roles that migrations make.
type Rights struct {
	// Missing is, for each of the roles, what it may do and the user may not, as
	// "SELECT on seals". A role that is absent here has no rights itself: it was made
	// after the migrations, or is not there.
	Missing   map[string][]string
	Superuser bool
	Owner     bool // of the schema's tables: may change and drop them
}

// missingRights asks what a role was granted on the schema and current_user may not
// do. The list is the migrations', so it needs no second one to keep equal. sqlc
// knows no columns of aclexplode, so it is sent by hand.
const missingRights = `
WITH part AS (
    SELECT r.oid AS id FROM pg_catalog.pg_roles AS r WHERE r.rolname = $1
),
place AS (
    SELECT n.oid AS id FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'outbox'
),
tables AS ( -- and sequences
    SELECT c.oid AS id, c.relname AS name, c.relkind AS kind, c.relacl AS acl
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = (SELECT place.id FROM place) AND c.relkind IN ('r', 'S')
),
granted AS (
    SELECT t.name::text AS name, g.privilege_type,
        CASE t.kind WHEN 'S' THEN has_sequence_privilege(t.id, g.privilege_type) ELSE has_table_privilege(t.id, g.privilege_type) END AS held
    FROM tables AS t
    CROSS JOIN LATERAL aclexplode(t.acl) AS g
    WHERE g.grantee = (SELECT part.id FROM part)
    UNION ALL
    SELECT t.name || '.' || a.attname, g.privilege_type, has_column_privilege(t.id, a.attnum, g.privilege_type)
    FROM tables AS t
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.id AND a.attnum > 0
    CROSS JOIN LATERAL aclexplode(a.attacl) AS g
    WHERE g.grantee = (SELECT part.id FROM part)
    UNION ALL
    SELECT p.proname || '()', g.privilege_type, has_function_privilege(p.oid, g.privilege_type)
    FROM pg_catalog.pg_proc AS p
    CROSS JOIN LATERAL aclexplode(p.proacl) AS g
    WHERE p.pronamespace = (SELECT place.id FROM place) AND g.grantee = (SELECT part.id FROM part)
    UNION ALL
    SELECT 'schema outbox', g.privilege_type, has_schema_privilege(n.oid, g.privilege_type)
    FROM pg_catalog.pg_namespace AS n
    CROSS JOIN LATERAL aclexplode(n.nspacl) AS g
    WHERE n.oid = (SELECT place.id FROM place) AND g.grantee = (SELECT part.id FROM part)
)
SELECT count(*) > 0 AS known,
    coalesce(array_agg(granted.privilege_type || ' on ' || granted.name ORDER BY granted.name, granted.privilege_type) FILTER (WHERE NOT granted.held), '{}') AS missing
FROM granted`

const tooMuch = `
SELECT r.rolsuper,
    coalesce((SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class AS c WHERE c.oid = to_regclass('outbox.jobs')), false)
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = current_user`

func rightsOf(ctx context.Context, conn *pgx.Conn) (Rights, error) {
	r := Rights{Missing: map[string][]string{}}
	for _, role := range []string{RelayRole, WorkerRole, PusherRole, APIRole} {
		var known bool
		var missing []string
		if err := conn.QueryRow(ctx, missingRights, role).Scan(&known, &missing); err != nil {
			return r, translate("look at the rights of "+role, err)
		}
		if known {
			r.Missing[role] = missing
		}
	}
	err := conn.QueryRow(ctx, tooMuch).Scan(&r.Superuser, &r.Owner)
	return r, translate("look at the user's rights", err)
}
