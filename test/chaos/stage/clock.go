package stage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// libfaketime bends the C library's clock, and Go's runtime does not ask the C
// library: it calls the kernel's vDSO itself, with cgo too. So the clock is bent where
// everybody asks, Go or C: in the code of the vDSO that the kernel maps into each
// process. Pages that are written to become the process's own, so nobody else notices.
//
// What is written over clock_gettime and gettimeofday asks the kernel by system call
// and adds seconds to the wall clock's answer; the monotonic clock's is left alone. It
// is written while the process runs (and the server's children, all at once): a step,
// as of an administrator's or of NTP.
//
// Only for Linux on amd64, and for whoever may trace the process (root).

// The code, with the seconds to add as the four bytes before the last.
//
//	mov eax, 228 (clock_gettime)     mov eax, 96 (gettimeofday)
//	syscall                          syscall
//	test edi, edi (CLOCK_REALTIME)   test rdi, rdi (no struct)
//	jnz done                         jz done
//	add qword [rsi], seconds         add qword [rdi], seconds
//	done: ret                        nop; done: ret
var (
	bentGettime = []byte{0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x07, 0x48, 0x81, 0x06, 0, 0, 0, 0, 0xc3}
	bentOfDay   = []byte{0xb8, 0x60, 0, 0, 0, 0x0f, 0x05, 0x48, 0x85, 0xff, 0x74, 0x07, 0x48, 0x81, 0x07, 0, 0, 0, 0, 0xc3}
)

// SetClocks sets the wall clocks of processes to the true time plus d, in whole
// seconds, all of them between two moments in which none of them runs. What they start
// afterwards inherits it (a fork), unless it is another program. Zero is the true time.
func SetClocks(d time.Duration, pids ...int) (err error) {
	if runtime.GOARCH != "amd64" {
		return errors.New("set clock: only for amd64")
	}
	for range 100 {
		if err = setClocks(d, pids); !errors.Is(err, errInside) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	return nil
}

func setClocks(d time.Duration, pids []int) (err error) {
	defer func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended
		}
	}()
	var all []*vdso
	for _, pid := range pids {
		if err := stand(pid); errors.Is(err, os.ErrProcessDone) {
			continue
		} else if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		v, err := openVDSO(pid)
		if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		defer func() { _ = v.mem.Close() }() // nothing is buffered
		if err := v.quiet(pid); err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		all = append(all, v)
	}
	for _, v := range all {
		if err := v.bend(d); err != nil {
			return err
		}
	}
	return nil
}

// stand stops a process, and returns when none of its threads runs any more. Not by
// ptrace: its stops would be taken for the child's end by whoever waits for that.
func stand(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	} else if err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		stands, err := allStand(pid)
		if stands || err != nil {
			return err
		}
		runtime.Gosched()
	}
	return errors.New("it does not stop")
}

func allStand(pid int) (bool, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	if err != nil {
		return false, err
	}
	if len(stats) == 0 {
		return false, os.ErrProcessDone
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // that thread has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if strings.HasPrefix(rest, "Z") {
			return false, os.ErrProcessDone
		}
		if !strings.HasPrefix(rest, "T") {
			return false, nil
		}
	}
	return true, nil
}

// vdso is the vDSO of one process, whose threads all stand still.
type vdso struct {
	mem        *os.File
	start, end uint64
	places     map[*[]byte]uint64 // where which code goes
}

func openVDSO(pid int) (*vdso, error) {
	start, end, err := vdsoOf(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	v := &vdso{mem: mem, start: start, end: end, places: map[*[]byte]uint64{}}
	image := make([]byte, end-start)
	if _, err := mem.ReadAt(image, int64(start)); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read vdso: %w", err), mem.Close())
	}
	symbols, err := symbolsOf(image)
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	for name, code := range map[string]*[]byte{"__vdso_clock_gettime": &bentGettime, "__vdso_gettimeofday": &bentOfDay} {
		symbol, ok := symbols[name]
		if !ok || symbol.Size < uint64(len(*code)) {
			return nil, errors.Join(fmt.Errorf("vdso has no room at %s (%d bytes)", name, symbol.Size), mem.Close())
		}
		v.places[code] = start + symbol.Value
	}
	return v, nil
}

// errInside: a thread stands in the code that is to be written over.
var errInside = errors.New("a thread is reading the clock")

// quiet makes sure that no thread is inside. The kernel tells of a thread that stands
// still: the system call it is in with its arguments, or -1, then the stack pointer and
// where it goes on.
func (v *vdso) quiet(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/syscall", pid))
	if err != nil {
		return err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("where a thread stands: %w", err)
		}
		fields := strings.Fields(string(text))
		at, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil || at >= v.start && at < v.end { // "running": it was not asked to stop in time
			return errInside
		}
	}
	return nil
}

func (v *vdso) bend(d time.Duration) error {
	for code, at := range v.places {
		bent := bytes.Clone(*code)
		binary.LittleEndian.PutUint32(bent[len(bent)-5:], uint32(int32(d/time.Second)))
		if _, err := v.mem.WriteAt(bent, int64(at)); err != nil {
			return fmt.Errorf("write vdso: %w", err)
		}
	}
	return nil
}

func vdsoOf(pid int) (start, end uint64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, errors.New("it has no vdso")
}

func symbolsOf(image []byte) (map[string]elf.Symbol, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("read vdso: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("read vdso: %w", err)
	}
	found := map[string]elf.Symbol{}
	for _, s := range symbols {
		found[s.Name] = s
	}
	return found, nil
}
