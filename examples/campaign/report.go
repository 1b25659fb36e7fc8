package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// shown is how many lost recipients and phantoms the report names.
const shown = 5

// report stops the service, so that nobody sends any more, balances the books and
// says what they hold. unfinished is why not every job is over, or nil. With -dev
// the service goes on, and report returns after Ctrl-C.
func (s *show) report(ctx context.Context, unfinished error) (verdict, error) {
	if !s.dev {
		if err := s.fleet.stop(); err != nil {
			return verdict{}, err
		}
	}
	result, err := s.books.compare(ctx, s.dir)
	if err != nil {
		return verdict{}, err
	}
	lines, err := s.books.tallies(ctx)
	if err != nil {
		return verdict{}, err
	}
	s.board.say("")
	for _, line := range lines {
		s.board.say("  %s", line)
	}
	recipients, mails := s.sink.counts()
	s.board.say("  mail received     %s mails for %s recipients", thousands(mails), thousands(recipients))
	if s.stack.ownPostgres { // else the two clocks may differ
		l := result.Latencies
		s.board.say("  insert to mailbox p50 %s · p99 %s · longest %s\n"+
			"                    (mailings make a backlog; what a dead process held waits for its lease to end)",
			seconds(percentile(l, 0.5)), seconds(percentile(l, 0.99)), seconds(percentile(l, 1)))
	}
	s.explain(result)
	if unfinished != nil {
		s.board.say("  not finished: %v", unfinished)
		return result, errUnfinished
	}
	if s.dev {
		s.board.say("\n%s", result)
		s.invite()
		<-ctx.Done()
		if cause := context.Cause(ctx); errors.Is(cause, errDied) {
			return verdict{}, cause
		}
	}
	return result, nil
}

// explain says what the figures of the last line mean.
func (s *show) explain(v verdict) {
	s.board.say("")
	for _, id := range v.Lost[:min(shown, len(v.Lost))] {
		s.board.say("  lost: recipient %d was committed and has no mail", id)
	}
	for _, g := range v.Phantom[:min(shown, len(v.Phantom))] {
		s.board.say("  phantom: %s to %s exists although %s", g.Mail.MessageID, g.Mail.To, g.Why)
	}
	s.board.say("  Duplicates are what at-least-once allows: mail that a killed worker had sent")
	s.board.say("  and not yet recorded is sent again, with the same Message-ID")
	s.board.say("  (%s of the %s: first sent by the worker that was killed).", thousands(s.fleet.killed(v.Duplicates)), thousands(len(v.Duplicates)))
}

// invite says how to play with what is left running.
func (s *show) invite() {
	s.board.say(`
  Everything is left running until Ctrl-C.
    psql '%s'
    redis-cli -u %s
    tail -f %s/*.log
    less %s/mail.mbox
  One more mail:
    psql '%[1]s' -c "INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ('%[5]s', 'campaign.mail', '{\"campaign_id\":1,\"recipient_id\":1,\"email\":\"you@readers.example\",\"name\":\"You\"}')"
`, s.stack.databaseURL, s.stack.redisURL, s.dir, s.dir, s.stack.queue)
}

// seconds returns d as people read it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
