package rookery

import (
	"context"
	"fmt"
	"slices"

	"github.com/penguinmails/rookery/db"
)

// doctorWake looks for what keeps relays from tailing the WAL where they are to. All
// of it are warnings: without it they are woken by NOTIFY.
func doctorWake(ctx context.Context, c Config, parts []string) (out []Finding) {
	relays := len(parts) == 0 || slices.Contains(parts, "relay") || slices.Contains(parts, "serve")
	if c.Wake != WakeWAL || !relays || c.listenURL() == "" {
		return nil
	}
	found := func(cond bool, problem, remedy string) {
		if cond {
			out = append(out, Finding{Subject: "wake", Problem: problem, Remedy: remedy, Warning: true})
		}
	}
	const instead = "; until then relays are woken by NOTIFY"
	f, err := db.DiagnoseWAL(ctx, c.listenURL())
	if err != nil {
		if c.ListenURL != "" { // else it has been said already
			found(true, "where relays listen: "+err.Error(), "check DATABASE_LISTEN_URL, and that the server runs and lets this host in")
		}
		return out
	}
	found(f.Pooler, "a pooler stands in front, and lets no replication session through"+instead, "give relays a direct DATABASE_LISTEN_URL")
	found(f.Level != "logical", "wal_level is "+f.Level+instead,
		"ALTER SYSTEM SET wal_level = logical, and restart Postgres; but then every UPDATE logs its whole row (twice the WAL per job at 1 kB), so where nothing else needs it rather ROOKERY_WAKE=notify")
	found(f.Level == "logical", "wal_level is logical: every UPDATE logs its whole row, for a job with 1 kB of payload 3.8 kB of WAL instead of 1.7",
		"nothing, where something else needs it; else ROOKERY_WAKE=notify, ALTER SYSTEM SET wal_level = replica, and restart Postgres")
	found(!f.MayReplicate, "user "+f.User+" may not open a replication session"+instead, "as a superuser: ALTER ROLE "+f.User+" REPLICATION")
	found(!f.Published, "publication "+db.Publication+" is missing"+instead,
		fmt.Sprintf("as the owner of database %s: CREATE PUBLICATION %s", f.Database, db.Publication))
	found(f.Slots >= f.MaxSlots && f.OurSlots == 0, fmt.Sprintf("no replication slot is free: %d of %d are taken%s", f.Slots, f.MaxSlots, instead),
		fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots for one that nobody needs, or ALTER SYSTEM SET max_replication_slots = %d, and restart Postgres", f.MaxSlots+4))
	found(f.Senders >= f.MaxSenders && f.OurSlots == 0, fmt.Sprintf("no WAL sender is free: %d of %d are taken%s", f.Senders, f.MaxSenders, instead),
		fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d, and restart Postgres", f.MaxSenders+4))
	return out
}
