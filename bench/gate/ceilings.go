package gate

// Ceiling is the most that a count may be.
type Ceiling struct {
	Part, What string
	Per        int // the ceiling is for so many jobs
	Most       float64
}

// aJob and batch are what ceilings are for: what is done once a batch must not hide
// behind its 500 jobs.
const aJob = 1

// Ceilings is the table. To raise one is to say that a job may cost more: the commit
// says why. Behind each stands what it was in 20 runs, ten of them beside two
// yes >/dev/null, and what is in it (2 cores, load 7 to 11; PostgreSQL 15, Redis 7.0,
// Go 1.26). What varies has room for that and some more, and, WAL and bytes aside, none
// for one more a job, or, of statements and commits, a batch.
func Ceilings() []Ceiling {
	return []Ceiling{
		{"insert", "statements", aJob, 4},              // always; BEGIN, the application's, ours, COMMIT
		{"insert", "statements in functions", aJob, 3}, // always; into ready, whether anything is not due, pg_notify
		{"insert", "commits", aJob, 1.1},               // 1.00; and what a connection prepares
		{"insert", "WAL bytes", aJob, 755},             // 739.4, the application's row too
		{"insert", "row versions", aJob, 3},            // always; jobs, ready, the application's
		{"insert", "mallocs", aJob, 40},                // 39.05 to 39.08
		{"insert", "malloc bytes", aJob, 2550},         // 2413 to 2434

		{"copy", "statements", batch, 1},              // always
		{"copy", "statements in functions", batch, 3}, // always: triggers run once a statement
		{"copy", "commits", batch, 1.5},               // 1.05 to 1.08; a connection's, over 76 COPYs
		{"copy", "WAL bytes", aJob, 490},              // 479.8
		{"copy", "row versions", aJob, 2},             // always; jobs, ready
		{"copy", "mallocs", aJob, 12.6},               // 12.13
		{"copy", "malloc bytes", aJob, 1740},          // 1626 to 1655

		{"relay", "statements", batch, 2.2},            // 1.56 to 1.70: the claim, and what 80 claims share
		{"relay", "statements in functions", batch, 0}, // none: no trigger stands in its way
		{"relay", "surveys", batch, 1.1},               // 0.2 to 0.5: one for five, and those of a relay that waits or has nothing to do
		{"relay", "claims in vain", batch, 1.05},       // 0.1 to 0.5: as it happens to look while another is under way
		{"relay", "commits", batch, 3.25},              // 2.30 to 3.14; statements, and what its connections prepare: more of them the slower it is
		{"relay", "WAL bytes", aJob, 288},              // 270.3 to 275.9
		{"relay", "row versions", aJob, 1.02},          // 1.00: jobs; a ledger row for 500
		{"relay", "mallocs", aJob, 9},                  // 8.46 to 8.57
		{"relay", "malloc bytes", aJob, 2030},          // 1912 to 1934
		{"relay", "rows deleted", aJob, 1.02},          // 1.00: ready
		{"relay", "updates not HOT", aJob, 0.02},       // none
		{"relay", "Redis commands", batch, 16},         // 9.7 to 12.0, those inside scripts too: per batch, not per job

		{"worker", "statements", batch, 1.5},            // 1.06 to 1.18: the outcomes of 500
		{"worker", "statements in functions", batch, 0}, // none
		{"worker", "commits", batch, 1.8},               // 1.21 to 1.38
		{"worker", "WAL bytes", aJob, 216},              // 199.8 to 205.8: as pages happen to fill
		{"worker", "row versions", aJob, 1.02},          // 1.00: jobs
		{"worker", "mallocs", aJob, 14},                 // 13.27 to 13.46, a handler that does nothing
		{"worker", "malloc bytes", aJob, 2860},          // 2685 to 2725
		{"worker", "rows deleted", aJob, 0.02},          // none but its own entry among the processes
		{"worker", "updates not HOT", aJob, 0.02},       // none
		{"worker", "Redis commands", batch, 36},         // 26.2 to 30.6: as acks happen to gather

		{"listened", "statements", batch, 1.5},            // 1.09 to 1.10: as worker; what is noted is noted by its statement
		{"listened", "statements in functions", batch, 0}, // none
		{"listened", "commits", batch, 1.8},               // 1.31
		{"listened", "WAL bytes", aJob, 220},              // 201.9 to 204.5, beside 200.9 to 202.6 with nobody there
		{"listened", "row versions", aJob, 1.02},          // 1.00: jobs; a row of outbox.events for 500
		{"listened", "mallocs", aJob, 14},                 // 13.33 to 13.38
		{"listened", "malloc bytes", aJob, 2860},          // 2715 to 2742
		{"listened", "rows deleted", aJob, 0.02},          // none
		{"listened", "updates not HOT", aJob, 0.02},       // none
		{"listened", "Redis commands", batch, 36},         // 27.1 to 30.6
		{"listened", "bytes kept", aJob, 9},               // 6.8 to 7.6: of whole pages; ids in lz4, more of them when fewer end at once

		{"listener", "statements", batch, 0.15},           // 0.10 to 0.11: three for each page, of 20,000
		{"listener", "statements in functions", batch, 0}, // none
		{"listener", "commits", batch, 0.4},               // 0.21 to 0.23; and what a connection prepares
		{"listener", "WAL bytes", aJob, 1},                // 0.00: who listens writes nothing
		{"listener", "row versions", aJob, 0.02},          // none
		{"listener", "rows read", aJob, 4.5},              // 4.01: of 20,000 jobs in a table of 80,000 all are read; by their keys it is 1
	}
}
