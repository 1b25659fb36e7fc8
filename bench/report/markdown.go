package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// table is a table of markdown whose first columns, so many as text says, are words,
// the others numbers.
type table struct {
	text int
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String returns "" for a table without rows.
func (t *table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var b strings.Builder
	row := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + cell(c) + " ")
		}
		b.WriteString("|\n")
	}
	row(t.head)
	for i := range t.head {
		if i < t.text {
			b.WriteString("|---")
		} else {
			b.WriteString("|---:")
		}
	}
	b.WriteString("|\n")
	for _, cells := range t.rows {
		row(cells)
	}
	return b.String()
}

// cell keeps text from ending its cell, its row, or the section it stands in.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ", "<!--", "&lt;!--").Replace(text)
}

var marker = regexp.MustCompile(`(?m)^<!-- (/?)bench:([a-z]+) -->[ \t]*\r?$`)

// Update replaces what stands between <!-- bench:x --> and <!-- /bench:x -->, each on
// a line of its own, by section x, and nothing else. It returns a note for every pair
// that is not there, or not whole, and for every pair there is no section for; they
// are left as they are.
func Update(doc string, sections map[string]string) (updated string, notes []string) {
	names := slices.Clone(Markers)
	for _, m := range marker.FindAllStringSubmatch(doc, -1) {
		if !slices.Contains(names, m[2]) {
			names = append(names, m[2])
		}
	}
	for _, name := range names {
		body, ok := sections[name]
		from, to, problem := find(doc, name)
		switch {
		case ok && problem != "":
			notes = append(notes, fmt.Sprintf("bench:%s %s: skipped", name, problem))
		case ok:
			doc = doc[:from] + "\n\n" + strings.Trim(body, "\n") + "\n\n" + doc[to:]
		case problem == "":
			notes = append(notes, fmt.Sprintf("bench:%s has no results: left as it is", name))
		}
	}
	return doc, notes
}

// find returns where the text between a pair of markers begins and ends, or what is
// wrong with the pair. A pair around another marker is broken: replacing what stands
// in it would take the other away.
func find(doc, name string) (from, to int, problem string) {
	all := marker.FindAllStringSubmatchIndex(doc, -1)
	var own []int
	for i, m := range all {
		if doc[m[4]:m[5]] == name {
			own = append(own, i)
		}
	}
	closes := func(i int) bool { return all[i][2] < all[i][3] }
	switch {
	case len(own) == 0:
		return 0, 0, "has no markers"
	case len(own) != 2 || closes(own[0]) || !closes(own[1]):
		return 0, 0, "is not one opening and one closing marker"
	case own[1] != own[0]+1:
		return 0, 0, "has other markers inside"
	}
	return all[own[0]][1], all[own[1]][0], ""
}
