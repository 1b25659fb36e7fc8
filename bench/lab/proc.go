package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is USER_HZ, the same on every Linux that matters.
const tick = time.Second / 100

// postgresCPU adds up the postmaster, its children, and the children that have
// ended.
func postgresCPU(pid int) time.Duration {
	sum := cpu(pid) + ticks(pid, 15, 16)
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range entries {
		if f := stat(path); len(f) > 3 && f[3] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(f[0])
			sum += cpu(child)
		}
	}
	return sum
}

func cpu(pid int) time.Duration { return ticks(pid, 13, 14) }

func ticks(pid int, fields ...int) time.Duration {
	f := stat(fmt.Sprintf("/proc/%d/stat", pid))
	var sum time.Duration
	for _, i := range fields {
		if len(f) > i {
			n, _ := strconv.Atoi(f[i])
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// stat splits /proc/PID/stat (proc(5)), whose second field may hold spaces.
func stat(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	text := string(data)
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return nil
	}
	pid, _, _ := strings.Cut(text, " ")
	return append([]string{pid, ""}, strings.Fields(text[end+1:])...)
}
