package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	// errVerdict: the demo ran, and has said what is wrong.
	errVerdict = errors.New("the books do not balance")
	// errStopped: somebody ended the demo before it could say anything.
	errStopped = errors.New("stopped before the end")
	// errUnfinished: the demo ran, and not every job was over when it ended.
	errUnfinished = errors.New("not every job is over")
)

const (
	relayCount  = 2
	workerCount = 3
	workerSlots = 16
	// thinking is what the mail server takes over each mail: 48 slots deliver at
	// most 2,400 a second, so a mailing of thousands makes a backlog.
	thinking = 20 * time.Millisecond
)

// show is one run of the demo.
type show struct {
	options
	board   *board
	dir     string // of the mail and the logs
	self    string // path of this program
	stack   *stack
	sink    *sink
	fleet   *fleet
	books   books
	smtpLog *os.File
}

// runDemo runs the demo and returns nil when every committed recipient has mail
// and nobody else.
func runDemo(signals context.Context, o options, out *os.File) (err error) {
	ctx, died := context.WithCancelCause(signals)
	defer died(nil)
	s := &show{options: o, board: newBoard(out)}
	if s.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if s.rookery, err = findRookery(o.rookery, s.self); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "rookery-campaign-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	result, runErr := s.run(ctx, died)
	closeErr := s.close(context.WithoutCancel(ctx))
	stopped := signals.Err() != nil && !o.dev
	if failed := runErr != nil || closeErr != nil || !result.ok(); o.keep || failed && !stopped {
		s.board.say("\nmail and logs are kept in %s", s.dir)
	} else if err := os.RemoveAll(s.dir); err != nil {
		s.board.say("\n%s could not be removed: %v", s.dir, err)
	}
	if stopped {
		return errors.Join(errStopped, closeErr)
	}
	if runErr != nil && !errors.Is(runErr, errUnfinished) {
		return errors.Join(runErr, closeErr)
	}
	if closeErr != nil {
		s.board.say("cleaning up: %v", closeErr)
	}
	s.board.say("%s", result)
	if runErr != nil || closeErr != nil || !result.ok() {
		return errVerdict
	}
	return nil
}

// run is the demo from the first server to the report. With errUnfinished the
// verdict is right all the same.
func (s *show) run(ctx context.Context, died context.CancelCauseFunc) (verdict, error) {
	s.board.say("Rookery: an e-mail campaign through a service that is being shot at\n")
	if err := s.open(ctx, died); err != nil {
		return verdict{}, err
	}
	s.announce()
	s.board.restart()
	limited, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("the %s of -seconds are over", s.limit))
	defer cancel()
	deliverErr := s.deliver(limited)
	if deliverErr != nil && ctx.Err() != nil {
		return verdict{}, context.Cause(ctx) // Ctrl-C, or a process died
	}
	return s.report(ctx, deliverErr)
}

// open starts the servers, the mail server and the service.
func (s *show) open(ctx context.Context, died context.CancelCauseFunc) (err error) {
	began := time.Now()
	if s.stack, err = openStack(ctx, s.board.out); err != nil {
		return err
	}
	s.books = books{db: s.stack.db, queue: s.stack.queue}
	launch := launcher{env: s.stack.environment(), logs: s.dir}
	if err := launch.run(ctx, "migrate", s.rookery, "migrate", "up"); err != nil {
		return err
	}
	if err := s.stack.createTables(ctx); err != nil {
		return err
	}
	if s.smtpLog, err = os.Create(filepath.Join(s.dir, "smtp.log")); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if s.sink, err = newSink(s.dir, thinking, s.smtpLog); err != nil {
		return err
	}
	s.fleet = newFleet(launch, died)
	for i := range relayCount {
		if err := s.fleet.add(fmt.Sprintf("relay-%d", i+1), s.rookery, "relay"); err != nil {
			return err
		}
	}
	for i := range workerCount {
		if err := s.fleet.add(fmt.Sprintf("worker-%d", i+1), s.self, "worker", "-queue", s.stack.queue,
			"-slots", fmt.Sprint(workerSlots), "-smtp", s.sink.Addr); err != nil {
			return err
		}
	}
	s.board.say("  servers     %s, migrated, in %.1f s", s.stack, time.Since(began).Seconds())
	return nil
}

// announce says what runs where.
func (s *show) announce() {
	plain := "psql"
	if s.stack.psql == "" {
		plain = "no psql on this machine, so the others have its share"
	}
	s.board.say("  service     %d relays (rookery relay), %d workers with %d slots each (campaign worker)", relayCount, workerCount, workerSlots)
	s.board.say("  mail server %s, answers 451 to one address in %d the first time, stores what it gets", s.sink.Addr, greyEvery)
	s.board.say("  producers   go-1, go-2, %s: %s recipients in %d mailings, queue %s", plain, thousands(s.recipients), waves, s.stack.queue)
	s.board.say("              each transaction writes recipients and their jobs; one in ten rolls back\n")
}

// deliver produces, shoots, and waits until every job is over.
func (s *show) deliver(ctx context.Context) error {
	follow, cancel := context.WithCancel(ctx)
	var line sync.WaitGroup
	line.Go(func() { s.board.follow(follow, s.look) })
	defer line.Wait()
	defer cancel()

	work, workCtx := errgroup.WithContext(ctx)
	s.produce(workCtx, work)
	enough := s.recipients / waves / 5
	work.Go(func() error {
		return shoot(workCtx, shots(s.fleet, s.stack), time.Now(), enough, s.board.waiting, s.board.event)
	})
	if err := work.Wait(); err != nil {
		return err
	}
	s.board.event("all mailings are committed; waiting for the last jobs")
	if err := s.books.settled(ctx); err != nil {
		return err
	}
	s.board.event("every job is over")
	return nil
}

// look returns the figures of the progress line.
func (s *show) look(ctx context.Context) (committed, delivered int, err error) {
	committed, err = s.books.committed(ctx)
	delivered, _ = s.sink.counts()
	return committed, delivered, err
}

// produce starts the producers.
func (s *show) produce(ctx context.Context, work *errgroup.Group) {
	const plainShare = 5 // psql writes every fifth recipient
	plain := s.recipients / plainShare
	if s.stack.psql == "" {
		plain = 0
	}
	for i := range 2 {
		n := share(s.recipients-plain, 2, i)
		name := fmt.Sprintf("go-%d", i+1)
		work.Go(func() error {
			return s.fleet.run(ctx, name, s.self, "produce", "-name", name, "-queue", s.stack.queue, "-recipients", fmt.Sprint(n))
		})
	}
	if plain > 0 {
		work.Go(func() error {
			return runPsql(ctx, s.fleet.launcher, s.stack.psql, s.stack.databaseURL, s.stack.queue, plain)
		})
	}
}

// close stops what runs, consumers first, so that nobody loses what he talks to.
func (s *show) close(ctx context.Context) error {
	var errs []error
	if s.fleet != nil {
		errs = append(errs, s.fleet.stop())
	}
	if s.sink != nil {
		ctx, cancel := context.WithTimeout(ctx, stopPatience)
		errs = append(errs, s.sink.close(ctx))
		cancel()
	}
	if s.smtpLog != nil {
		errs = append(errs, s.smtpLog.Close())
	}
	if s.stack != nil {
		errs = append(errs, s.stack.close())
	}
	return errors.Join(errs...)
}

// findRookery returns the path of the binary.
func findRookery(given, self string) (string, error) {
	if given != "" {
		return exec.LookPath(given)
	}
	for _, path := range []string{filepath.Join(filepath.Dir(self), "rookery"), filepath.Join("bin", "rookery")} {
		if path, err := filepath.Abs(path); err == nil {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath("rookery")
	if err != nil {
		return "", errors.New("there is no rookery binary beside this program, in ./bin or in PATH; type: make build")
	}
	return path, nil
}
