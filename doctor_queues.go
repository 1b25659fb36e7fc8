package rookery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/penguinmails/rookery/job"
)

const (
	// fallenSilent is how long a process may not have beaten before people hear of it;
	// forgotten, after how long they hear of it no more.
	fallenSilent = 15 * time.Second
	forgotten    = 10 * time.Minute
	// dueTooLong is for how long a queue's oldest job may have been due.
	dueTooLong = 5 * time.Minute
	// doctorLines bounds what doctor says of queues and processes.
	doctorLines = 20
)

// doctorQueues finds what the engine cannot mend by itself: work that waits for a person.
// Whoever may not see queues learns that elsewhere, and so does who has no Postgres.
func doctorQueues(ctx context.Context, c Config) []Finding {
	c.Logger = slog.New(slog.DiscardHandler)
	svc, err := Open(ctx, c)
	if err != nil {
		return nil
	}
	defer func() { _ = svc.Close() }()
	jobs, err := svc.Jobs(ctx)
	if err != nil {
		return nil
	}
	queues, err := jobs.Queues(ctx)
	if err != nil {
		return nil
	}
	processes, err := jobs.Processes(ctx, "")
	if err != nil {
		return nil
	}
	all := QueueFindings(queues, processes)
	all = append(all, doctorDead(ctx, jobs, time.Now())...)
	if n := len(all) - doctorLines; n > 0 {
		all = append(all[:doctorLines], Finding{Subject: "queue", Problem: fmt.Sprintf("%d more findings of this kind", n), Remedy: "look at rookery top", Warning: true})
	}
	return all
}

// QueueFindings says what a person should look at among queues and processes, as doctor
// and top show it. All are warnings: no job is lost while it waits.
func QueueFindings(queues []job.QueueStats, processes []job.ProcessState) (all []Finding) {
	found := func(subject, problem, remedy string) {
		all = append(all, Finding{Subject: subject, Problem: problem, Remedy: remedy, Warning: true})
	}
	for _, q := range queues {
		switch waits := q.Backlog(); {
		case waits == 0:
		case q.Paused:
			found("queue", fmt.Sprintf("%s is paused, and %s due", q.Name, jobsAre(waits)), "rookery queues resume "+q.Name)
		case WorkersOf(q.Name, processes) == 0:
			found("queue", fmt.Sprintf("%s has no worker, and %s due", q.Name, jobsAre(waits)),
				"start one: rookery worker --queue "+q.Name+" --exec PROGRAM; or, if the queue's name is a mistake: rookery queues purge "+q.Name+" --confirm "+q.Name)
		case q.OldestAge > dueTooLong:
			found("queue", fmt.Sprintf("%s: the oldest job has been due for %s", q.Name, q.OldestAge.Round(time.Second)),
				"more workers, or quicker ones: rookery top shows how long the backlog lasts (WORK)")
		}
	}
	for _, p := range processes {
		if p.BeatAge >= fallenSilent && p.BeatAge < forgotten {
			found("process", fmt.Sprintf("%s %s is silent for %s", p.Role, oneLine(p.ID), p.BeatAge.Round(time.Second)),
				"if it was not killed, see why it does not reach Postgres: its log; its jobs run elsewhere by now")
		}
	}
	return all
}

// WorkersOf counts the living workers that take from a queue.
func WorkersOf(queue string, processes []job.ProcessState) (n int) {
	for _, p := range processes {
		if _, takes := p.Epochs[queue]; takes && p.Role == "worker" && p.BeatAge < fallenSilent {
			n++
		}
	}
	return n
}

// doctorDead finds jobs that died within the last hour and are dead still.
func doctorDead(ctx context.Context, jobs *Jobs, now time.Time) []Finding {
	end := now.Truncate(time.Minute).Add(time.Minute)
	begin := end.Add(-time.Hour)
	minutes, err := jobs.Stats(ctx, job.StatRange{From: begin, To: end, Step: time.Minute})
	if err != nil {
		return nil
	}
	died := int64(0)
	for _, m := range minutes {
		died += m.Dead
	}
	if died == 0 {
		return nil
	}
	page, err := jobs.List(ctx, job.Listing{Status: string(job.Dead), DiedAfter: begin, Limit: 1, ErrorChars: 100})
	if err != nil || len(page.Jobs) == 0 { // they were redriven, or deleted
		return nil
	}
	last := page.Jobs[0]
	problem := fmt.Sprintf("attempts that ended in a dead job within the last hour: %d; the latest, job %d of %s", died, last.ID, last.QueueName)
	if last.LastError != "" {
		problem += ": " + oneLine(last.LastError)
	}
	return []Finding{{Subject: "dead", Problem: problem, Warning: true,
		Remedy: fmt.Sprintf("rookery jobs list --status dead --queue %s; when the cause is mended: rookery jobs redrive --status dead --queue %[1]s --yes", last.QueueName)}}
}

func jobsAre(n int64) string {
	if n == 1 {
		return "1 job is"
	}
	return fmt.Sprint(n, " jobs are")
}

// oneLine keeps what somebody else has written from looking like lines of ours.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
}
