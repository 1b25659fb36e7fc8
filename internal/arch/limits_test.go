package arch

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// limits pairs each limit of job/limits.go with the places of the SQL that know it
// too. Every match must say the same number, and there must be at least one.
var limits = []struct {
	name string
	want int
	in   string // group 1 is the number
}{
	{"MaxQueueName", job.MaxQueueName, `\[A-Za-z0-9_\.:-\]\{1,(\d+)\}`},
	{"MaxKind", job.MaxKind, `char_length\(kind\) (?:<=|>) (\d+)`},
	{"MaxKind", job.MaxKind, `jobs_kind_has_at_most_(\d+)_characters`},
	{"MaxPriority", job.MaxPriority, `\bpriority (?:NOT )?BETWEEN 0 AND (\d+)`},
	{"MaxPriority", job.MaxPriority, `jobs_priority_is_0_to_(\d+)`},
	{"DefaultPriority", job.DefaultPriority, `\bpriority +(?:smallint|integer) +(?:NOT NULL )?DEFAULT (\d+)`},
	{"MaxMaxAttempts", job.MaxMaxAttempts, `\bmax_attempts (?:NOT )?BETWEEN 1 AND (\d+)`},
	{"MaxMaxAttempts", job.MaxMaxAttempts, `jobs_max_attempts_is_1_to_(\d+)`},
	{"DefaultMaxAttempts", job.DefaultMaxAttempts, `\bmax_attempts +(?:smallint|integer) +(?:NOT NULL )?DEFAULT (\d+)`},
	{"MaxHeaders", job.MaxHeaders, `octet_length\(headers::text\) (?:<=|>) (\d+)`},
	{"MaxHeaders", job.MaxHeaders, `octet_length\(headers::pg_catalog\.text\) OPERATOR\(pg_catalog\.<=\) (\d+)`},
	{"MaxHeaders", job.MaxHeaders, `jobs_headers_is_an_object_of_at_most_(\d+)_bytes`},
	{"MaxPayload", job.MaxPayload, `CHECK \(size <= (\d+)\)`},
	{"MaxPayload", job.MaxPayload, `octet_length\(payload::text\) \+ .* > (\d+)`},
	{"MaxPayload", job.MaxPayload, `jobs_payload_has_at_most_(\d+)_bytes`},
	{"DefaultWindow", job.DefaultWindow, `\bwindow_size +integer +NOT NULL DEFAULT (\d+)`},
	{"MaxLost", job.MaxLost, `j\.lost_count >= (\d+)`},
	{"LastRunAt", job.LastRunAt().Year(), `\brun_at (?:<|>=) '(9\d+)-01-01 00:00:00\+00'`},
}

func allSQL(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range files(t, ".sql") {
		all.WriteString(read(t, path))
	}
	return all.String()
}

func TestLimits_SQLKnowsTheSame(t *testing.T) {
	sql := allSQL(t)
	for _, l := range limits {
		found := regexp.MustCompile(l.in).FindAllStringSubmatch(sql, -1)
		if len(found) == 0 {
			t.Errorf("job.%s: nothing in the SQL matches %s", l.name, l.in)
		}
		for _, m := range found {
			if got, _ := strconv.Atoi(m[1]); got != l.want {
				t.Errorf("%q says %s, job.%s is %d", m[0], m[1], l.name, l.want)
			}
		}
	}
	if want := "queue_name    text        NOT NULL DEFAULT '" + job.DefaultQueue + "'"; !strings.Contains(sql, want) {
		t.Errorf("the SQL lacks %q", want)
	}
}

func TestLimits_CheckKnowsAllStatuses(t *testing.T) {
	m := regexp.MustCompile(`jobs_status_is_known CHECK \(status IN \(([^)]*)\)\)`).FindAllStringSubmatch(allSQL(t), -1)
	if len(m) == 0 {
		t.Fatal("no CHECK jobs_status_is_known")
	}
	var got []job.Status
	for _, l := range literal.FindAllStringSubmatch(m[len(m)-1][1], -1) { // the newest migration counts
		got = append(got, job.Status(l[1]))
	}
	if diff := cmp.Diff(job.Statuses(), got); diff != "" {
		t.Errorf("jobs_status_is_known (-job.Statuses +CHECK):\n%s", diff)
	}
}
