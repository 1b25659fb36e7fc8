package report

import (
	"fmt"
	"path/filepath"
	"slices"
)

// letters are the workloads in the order in which they are told of.
var letters = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "w", "counts"}

// Set is the results of several workloads, by letter. What is missing was not
// measured, and is left out wherever it would be shown.
type Set map[string]*Results

// ReadAll reads all files of results in dir, but not those of the folders below. It
// returns the paths of files that are of none of the workloads too. Two files of the
// same workload, or no results at all, are an error.
func ReadAll(dir string) (s Set, skipped []string, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("look for results: %w", err)
	}
	s = Set{}
	from := map[string]string{}
	for _, path := range paths {
		r, err := Read(path)
		if err != nil {
			return nil, nil, fmt.Errorf("read results: %w", err)
		}
		if !slices.Contains(letters, r.Workload) {
			skipped = append(skipped, path)
			continue
		}
		if other, ok := from[r.Workload]; ok {
			return nil, nil, fmt.Errorf("read results: %s and %s are both of workload %s", other, path, r.Workload)
		}
		s[r.Workload], from[r.Workload] = r, path
	}
	if len(s) == 0 {
		return nil, skipped, fmt.Errorf("read results: none in %s", dir)
	}
	return s, skipped, nil
}

// Letters returns the workloads of the set, in their order.
func (s Set) Letters() []string {
	var out []string
	for _, letter := range letters {
		if s[letter] != nil {
			out = append(out, letter)
		}
	}
	return out
}

// groups returns the groups of a workload, none when it was not measured.
func (s Set) groups(letter string) []Group {
	if s[letter] == nil {
		return nil
	}
	return s[letter].Groups()
}

// of returns one group, empty when it was not measured.
func (s Set) of(letter, name, system string) Group {
	if s[letter] == nil {
		return Group{Case: name, System: system}
	}
	return s[letter].Of(name, system)
}

// cases returns the names of a workload's cases, in their order.
func (s Set) cases(letter string) []string {
	var out []string
	for _, g := range s.groups(letter) {
		if !slices.Contains(out, g.Case) {
			out = append(out, g.Case)
		}
	}
	return out
}
