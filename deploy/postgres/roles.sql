-- The logins of an installation with the least rights, before the first migration:
--
--   ROOKERY_OWNER_PASSWORD=… ROOKERY_SERVE_PASSWORD=… ROOKERY_WORKER_PASSWORD=… \
--     psql "$ADMIN_URL" -f deploy/postgres/roles.sql
--   with ROOKERY_PUSH_PASSWORD=… too a login for push workers
--   rookery migrate up           with DATABASE_URL of rookery_owner
--   GRANT rookery_producer TO …  for each application's login
--
-- Run it as a superuser, or as one with CREATEROLE who owns the database; it may be
-- run again, to change the passwords. It takes psql 15 or newer. docs/security.md says
-- what each group role may.

\set ON_ERROR_STOP on
\getenv owner_password ROOKERY_OWNER_PASSWORD
\getenv serve_password ROOKERY_SERVE_PASSWORD
\getenv worker_password ROOKERY_WORKER_PASSWORD
\if :{?owner_password} \else \set owner_password '' \endif
\if :{?serve_password} \else \set serve_password '' \endif
\if :{?worker_password} \else \set worker_password '' \endif
\getenv push_password ROOKERY_PUSH_PASSWORD
\if :{?push_password} \else \set push_password '' \endif
SELECT (:'push_password' <> '')::text AS pushes \gset
SELECT (:'owner_password' = '' OR :'serve_password' = '' OR :'worker_password' = '')::text AS missing \gset
\if :missing
    DO $$ BEGIN RAISE EXCEPTION 'ROOKERY_OWNER_PASSWORD, ROOKERY_SERVE_PASSWORD and ROOKERY_WORKER_PASSWORD must be set'; END $$;
\endif

-- Groups. The migrations grant them their rights, and need not make them then.
SELECT format('CREATE ROLE %I NOLOGIN', wanted)
FROM unnest(ARRAY['rookery_producer', 'rookery_server', 'rookery_readonly', 'rookery_relay', 'rookery_worker', 'rookery_pusher', 'rookery_api']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) \gexec

-- Logins: the owner for migrations and seal keys, and one for each kind of process.
SELECT format('CREATE ROLE %I LOGIN', wanted)
FROM unnest(ARRAY['rookery_owner', 'rookery_serve', 'rookery_work']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) \gexec

\if :pushes
    SELECT 'CREATE ROLE rookery_push LOGIN' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rookery_push') \gexec
\endif

-- A superuser can keep the passwords out of the server's log, whatever it logs.
SELECT rolsuper::text AS super FROM pg_catalog.pg_roles WHERE rolname = current_user \gset
BEGIN;
\if :super
    SET LOCAL log_statement = 'none';
    SET LOCAL log_min_duration_statement = -1;
\endif
ALTER ROLE rookery_owner PASSWORD :'owner_password';
ALTER ROLE rookery_serve PASSWORD :'serve_password';
ALTER ROLE rookery_work PASSWORD :'worker_password';
\if :pushes
    ALTER ROLE rookery_push PASSWORD :'push_password';
\endif
COMMIT;

GRANT rookery_relay, rookery_api TO rookery_serve;
GRANT rookery_worker TO rookery_work;

-- The owner makes schema outbox, the publication outbox_wake (CREATE on the database),
-- and goose's table rookery_migrations in schema public.
SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO rookery_owner', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO rookery_serve, rookery_work', current_database()) \gexec
GRANT USAGE, CREATE ON SCHEMA public TO rookery_owner;
GRANT USAGE ON SCHEMA public TO rookery_serve, rookery_work;
\if :pushes
    GRANT rookery_worker, rookery_pusher TO rookery_push;
    -- It was given this once, and with it API keys.
    SELECT 'REVOKE rookery_api FROM rookery_push'
    FROM pg_catalog.pg_auth_members AS m
    WHERE m.roleid = 'rookery_api'::regrole AND m.member = 'rookery_push'::regrole \gexec
    SELECT format('GRANT CONNECT ON DATABASE %I TO rookery_push', current_database()) \gexec
    GRANT USAGE ON SCHEMA public TO rookery_push;
\endif
