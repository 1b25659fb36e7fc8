package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cpu adds up what Postgres' processes have used: backends by the role they are logged
// in as, autovacuum, and the others. A vacuum's process lives for a moment, so those
// that have ended, in the postmaster's account of its children, count as vacuum: no
// backend ends while it is measured.
func cpu(postmaster int) map[string]time.Duration {
	out := map[string]time.Duration{}
	f := stat(fmt.Sprintf("/proc/%d/stat", postmaster))
	if len(f) > 16 {
		for i, kind := range map[int]string{13: "others", 14: "others", 15: "vacuum", 16: "vacuum"} {
			n, _ := strconv.Atoi(f[i])
			out[kind] += time.Duration(n) * (time.Second / 100) // USER_HZ
		}
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		f := stat(path)
		if len(f) < 4 || f[3] != strconv.Itoa(postmaster) {
			continue
		}
		dir := filepath.Dir(path)
		name, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		ran, _ := os.ReadFile(filepath.Join(dir, "schedstat")) // the first number is ns on a CPU
		first, _, _ := strings.Cut(string(ran), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		out[kindOf(string(name))] += time.Duration(n)
	}
	return out
}

// kindOf reads a process' title, such as "postgres: relay postgres 127.0.0.1(4711)".
func kindOf(title string) string {
	_, what, _ := strings.Cut(title, "postgres: ")
	who, _, _ := strings.Cut(what, " ")
	switch {
	case slices.Contains(roles, who):
		return who
	case who == "postgres":
		return "points"
	case strings.HasPrefix(what, "autovacuum worker"):
		return "vacuum"
	}
	return "others"
}

// stat splits /proc/PID/stat (proc(5)), whose second field may hold spaces.
func stat(path string) []string {
	data, _ := os.ReadFile(path)
	pid, rest, _ := strings.Cut(string(data), " ")
	end := strings.LastIndexByte(rest, ')')
	if end < 0 {
		return nil
	}
	return append([]string{pid, ""}, strings.Fields(rest[end+1:])...)
}
