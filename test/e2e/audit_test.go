package e2e

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Each command that changes something leaves exactly one line, with who ran it where.
func TestAudit_EachCommandLeavesOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	id := strings.TrimSpace(w.mustCLI("enqueue", "--queue", "desk"))
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	lines := func() int { return int(w.count(`SELECT count(*) FROM outbox.audit`)) }
	if n := lines(); n != 0 {
		t.Fatalf("%d lines before anything was changed", n)
	}
	key, seal, clone := "", "", ""
	for _, tt := range []struct{ command, action, target string }{
		{"jobs cancel " + id, "job.cancel", id},
		{"jobs redrive " + id, "job.redrive", id},
		{"jobs clone " + id, "job.clone", "%out"},
		{"jobs cancel %clone", "job.cancel", "%clone"},
		{"jobs cancel " + id, "job.cancel", id},
		{"jobs delete " + id, "job.delete", id},
		{"queues pause desk", "queue.pause", "desk"},
		{"queues resume desk", "queue.resume", "desk"},
		{"queues window desk --size 7", "queue.window", "desk"},
		{"queues retention desk --finished 72h --dead 0", "queue.retention", "desk"},
		{"keys create --name a --scope worker", "key.create", "%key"},
		{"keys revoke %key", "key.revoke", "%key"},
		{"seals rotate", "seal.rotate", "%out"},
		{"seals retire --force %seal", "seal.retire", "%seal"},
	} {
		before := lines()
		fill := strings.NewReplacer("%key", key, "%seal", seal, "%clone", clone)
		out := strings.TrimSpace(w.mustCLI(strings.Fields(fill.Replace(tt.command))...))
		switch tt.action {
		case "key.create":
			key = strings.Split(out, "_")[1]
		case "seal.rotate":
			seal = out
		case "job.clone":
			clone = out
		}
		if n := lines() - before; n != 1 {
			t.Errorf("rookery %s left %d lines, want 1", tt.command, n)
		}
		target := strings.NewReplacer("%out", out, "%key", key, "%seal", seal, "%clone", clone).Replace(tt.target)
		role, err := url.Parse(w.as(rolesOf(strings.Fields(tt.command)[0])...))
		if err != nil {
			t.Fatal(err)
		}
		if w.count(`SELECT count(*) FROM outbox.audit WHERE id = (SELECT max(id) FROM outbox.audit) AND action = $1 AND target = $2
			AND principal LIKE 'cli:%@' || $3 AND database_role = $4 AND ip IS NULL`, tt.action, target, host, role.User.Username()) != 1 {
			t.Errorf("rookery %s left no line of %s %s", tt.command, tt.action, target)
		}
	}
	// What changes nothing, and what only looks, leaves none.
	before := lines()
	if code, _, _ := w.cli("jobs", "cancel", "4711"); code != 3 {
		t.Errorf("cancel of no job ended with %d, want 3", code)
	}
	for _, command := range []string{"jobs list", "queues", "keys list", "seals", "workers list"} {
		w.mustCLI(strings.Fields(command)...)
	}
	if n := lines() - before; n != 0 {
		t.Error("looking left " + strconv.Itoa(n) + " lines")
	}
}
