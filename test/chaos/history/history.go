// Package history is what the processes of a chaos run write down: one line of JSON
// for each act, appended with one write by whoever did it, so that several processes
// may append to one file and be killed while they do.
//
//	producer   offered, then committed | rolled_back | unknown (one line for each job)
//	worker     started, finished, refused (Postgres refused the outcome: it was stale)
//	client     the same (a server said that the lease is lost), and settled
//	receiver   the same of deliveries and callbacks, listens, answered and extended
//	stage      up, killed, frozen, thawed, stopping, ended (a process), fault, lifted, sample
//
// Every line has two clocks. The wall clock is for people. The monotonic one
// (CLOCK_MONOTONIC) is the same for all processes of a machine and is not touched by
// libfaketime when asked through the raw system call, so it orders the acts.
// It shares no code with Rookery, and leaves judging to package verify.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Word says what kind of act a line is about.
type Word string

// The acts.
const (
	Offered    Word = "offered"     // a producer is about to commit the job
	Committed  Word = "committed"   // Postgres has acknowledged the commit
	RolledBack Word = "rolled_back" // the job was inserted and taken back
	Unknown    Word = "unknown"     // the commit got no answer
	Started    Word = "started"     // a handler was called
	Finished   Word = "finished"    // it returned; How says what
	Refused    Word = "refused"     // the worker learned that its outcome came too late
	Settled    Word = "settled"     // a client was told that what it said of a lease counts; How is the job's status since
	Answered   Word = "answered"    // a receiver is about to answer its request, or was hung up on; How says what
	Listens    Word = "listens"     // a receiver takes requests
	Extended   Word = "extended"    // a receiver was told that its attempt stays open until Due
	Up         Word = "up"          // a process was started
	Killed     Word = "killed"      // it was sent SIGKILL
	Frozen     Word = "frozen"      // it was sent SIGSTOP
	Thawed     Word = "thawed"      // it was sent SIGCONT
	Stopping   Word = "stopping"    // it was sent SIGTERM
	Ended      Word = "ended"       // it is gone; How says by what
	Fault      Word = "fault"       // Cause begins, Target is what it hits
	Lifted     Word = "lifted"      // the fault with the same Cause and Target ends
	Sample     Word = "sample"      // Depth jobs wait in Redis in the queue Key
	Stopped    Word = "stopped"     // the producers have stopped; all faults are over
)

// Cause is a kind of fault: what a duplicate may be explained by.
type Cause string

// The causes that are noted by the stage. Killed and frozen workers need no note.
const (
	CutRedis     Cause = "cut_redis"     // Target (a process) does not reach Redis
	CutPostgres  Cause = "cut_postgres"  // Target does not reach Postgres
	CutServer    Cause = "cut_server"    // Target (a client, or push workers of a queue) does not reach a server
	RedisLost    Cause = "redis_lost"    // Redis lost all or part of what it had
	RedisAway    Cause = "redis_away"    // Redis answers nobody, or refuses everybody
	PostgresAway Cause = "postgres_away" // the same of Postgres
	TailLost     Cause = "tail_lost"     // Postgres lost acknowledged commits: the newest ones
	Clock        Cause = "clock"         // Target has a wrong clock
	Other        Cause = "other"         // anything that must not cause a duplicate
)

// Act is one line.
type Act struct {
	Wall     int64  `json:"wall"` // microseconds since 1970
	Mono     int64  `json:"mono"` // nanoseconds of CLOCK_MONOTONIC
	Word     Word   `json:"act"`
	Proc     string `json:"proc,omitempty"` // name of the process, as the stage calls it
	PID      int    `json:"pid,omitempty"`
	Key      string `json:"key,omitempty"` // the producer's own name of the job: ids may be issued twice
	ID       int64  `json:"id,omitempty"`
	Attempt  int32  `json:"attempt,omitempty"`
	Dispatch int64  `json:"dispatch,omitempty"`
	How      string `json:"how,omitempty"`
	Cause    Cause  `json:"cause,omitempty"`
	Target   string `json:"target,omitempty"`
	Depth    int64  `json:"depth,omitempty"`
	Priority int16  `json:"priority,omitempty"`
	Fails    int    `json:"fails,omitempty"` // how many failures the job asks for
	Want     string `json:"want,omitempty"`  // the status the job must end in
	Due      int64  `json:"due,omitempty"`   // microseconds since 1970 of run_at, 0: at once; of a delivery its deadline
	Queue    string `json:"queue,omitempty"` // of a delivery
	Most     int16  `json:"most,omitempty"`  // max_attempts of a job that is offered
}

// Log appends to one history file. It is safe for concurrent use, by any number of
// processes.
type Log struct {
	file *os.File
	proc string
	pid  int
}

// Open opens the history at path, and makes it when it is not there. proc is the
// name that all acts of this Log get which have none.
func Open(path, proc string) (*Log, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	return &Log{file: file, proc: proc, pid: os.Getpid()}, nil
}

// Path returns the path it was opened with.
func (l *Log) Path() string { return l.file.Name() }

// Close closes the file; nothing is buffered.
func (l *Log) Close() error { return l.file.Close() }

// Note appends acts, with one write, and gives them their clocks.
func (l *Log) Note(acts ...Act) error {
	var b bytes.Buffer
	wall, mono := time.Now().UnixMicro(), Monotonic()
	for _, a := range acts {
		a.Wall, a.Mono = wall, mono
		if a.Proc == "" {
			a.Proc, a.PID = l.proc, l.pid
		}
		line, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("note act: %w", err)
		}
		// A process killed in a write across a page of the file leaves half a line: the
		// next one begins on a line of its own.
		b.WriteByte('\n')
		b.Write(line)
		b.WriteByte('\n')
	}
	if _, err := l.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("note act: %w", err)
	}
	return nil
}

// Monotonic returns CLOCK_MONOTONIC in nanoseconds: for comparing acts of one
// machine since its start, and for nothing else. It asks the kernel itself, because
// libfaketime bends what the C library answers (and Go's own clock reads the vDSO).
func Monotonic() int64 {
	var t syscall.Timespec
	const clockMonotonic = 1
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

// Read returns the acts of a file in the order in which they were written. Half a
// line, of a process that was killed, is left out. A file that is not there has none.
func Read(path string) ([]Act, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer func() { _ = file.Close() }()
	var acts []Act
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a Act
		if len(lines.Bytes()) == 0 || json.Unmarshal(lines.Bytes(), &a) != nil {
			continue
		}
		acts = append(acts, a)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return acts, nil
}
