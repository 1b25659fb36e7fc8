package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// pages are what people read and copy from, below the root.
var pages = []string{
	"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/*.md", "docs/adr/*.md", "deploy/observability/*.md",
	"deploy/observability/alerts.yml", "deploy/systemd/*.service",
}

// Every line `rookery …` of a page or a unit is a command that there is, with flags
// that it has.
func TestPages_CommandsExist(t *testing.T) {
	seen := 0
	for _, pattern := range pages {
		paths, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s is nowhere, %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range pageCommands(string(text)) {
				for _, words := range alternatives(c.words) {
					seen++
					if wrong := misspelt(words, c.whole); wrong != "" {
						t.Errorf("%s: %s: %s", path, strings.Join(words, " "), wrong)
					}
				}
			}
		}
	}
	if seen < 150 {
		t.Errorf("%d commands were found on the pages, want 150 at least", seen)
	}
}

// pageCommand is one `rookery …` of a page: whole where it stands in a block of
// commands; in a sentence it may be cut short.
type pageCommand struct {
	words []string
	whole bool
}

var (
	fence    = regexp.MustCompile("^```(sh|bash)?$")
	indented = regexp.MustCompile(`^ {4}.*rookery [^\[]*$`) // and no line of use in cli.md
	span     = regexp.MustCompile("`([^`]+)`")              // over the end of a line, too
)

func pageCommands(text string) []pageCommand {
	var found []pageCommand
	var prose strings.Builder
	fenced, shell := false, false
	for lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(text, "\\\n", " "))); lines.Scan(); {
		line := lines.Text()
		code, unit := strings.CutPrefix(line, "ExecStart=")
		switch mark := strings.TrimSpace(line); { // in a list a block is indented
		case strings.HasPrefix(mark, "```"):
			shell, fenced = !fenced && fence.MatchString(mark), !fenced
		case unit, fenced && shell, !fenced && indented.MatchString(line):
			for _, words := range invocations(code) {
				found = append(found, pageCommand{words, true})
			}
		case !fenced:
			prose.WriteString(line + "\n")
		}
	}
	for _, m := range span.FindAllStringSubmatch(prose.String(), -1) {
		if strings.HasPrefix(m[1], "rookery ") || strings.HasPrefix(m[1], "rookery\n") {
			for _, words := range invocations(strings.ReplaceAll(m[1], "\n", " ")) {
				found = append(found, pageCommand{words, false})
			}
		}
	}
	return found
}

// invocations returns the commands of a piece of shell that run rookery, from wherever.
func invocations(shell string) [][]string {
	var found [][]string
	for _, words := range simpleCommands(shell) {
		for len(words) > 0 && (strings.Contains(words[0], "=") || words[0] == "if" || words[0] == "until") {
			words = words[1:]
		}
		if len(words) > 0 && filepath.Base(words[0]) == "rookery" {
			found = append(found, words[1:])
		}
	}
	return found
}

// simpleCommands cuts a line of shell into commands and these into words: as much of its
// grammar as stands on our pages.
func simpleCommands(shell string) [][]string {
	all, word, begun, quote := [][]string{nil}, "", false, rune(0)
	endWord := func() {
		if last := len(all) - 1; begun {
			all[last] = append(all[last], word)
		}
		word, begun = "", false
	}
	for _, c := range shell {
		switch {
		case c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == '#' && !begun:
			return all // a comment
		case strings.ContainsRune("\n;&()<>", c), c == '|' && !begun: // a|b are alternatives
			endWord()
			all = append(all, nil)
		case c == ' ':
			endWord()
		default:
			word, begun = word+string(c), true
		}
	}
	endWord()
	return all
}

// alternatives writes "jobs cancel|redrive" out as two commands.
func alternatives(words []string) [][]string {
	for i, w := range words {
		if parts := strings.Split(w, "|"); len(parts) > 1 && !strings.HasPrefix(w, "{") {
			var all [][]string
			for _, part := range parts {
				with := slices.Clone(words)
				with[i] = part
				all = append(all, alternatives(with)...)
			}
			return all
		}
	}
	return [][]string{words}
}

// misspelt says what is wrong with a command, or nothing. Values are not looked at,
// and … stands for anything.
func misspelt(words []string, whole bool) string {
	c, rest, err := documented().Find(words)
	if err != nil {
		return err.Error()
	}
	c.InitDefaultHelpFlag()
	if c == c.Root() {
		c.InitDefaultVersionFlag()
	}
	var args []string
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		if word == "--" {
			args = append(args, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(word, "-") {
			args = append(args, word)
			continue
		}
		name, _, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
		var flag *pflag.Flag
		if strings.HasPrefix(word, "--") {
			flag = c.Flag(name)
		} else if flag = c.Flags().ShorthandLookup(name); flag == nil {
			flag = c.InheritedFlags().ShorthandLookup(name)
		}
		if flag == nil {
			return "no flag " + word
		}
		if !valued && flag.NoOptDefVal == "" {
			if i++; i == len(rest) && whole {
				return "no value for " + word
			}
		}
	}
	if c.HasSubCommands() && len(args) > 0 {
		return "no command " + args[0]
	}
	if whole && c.Args != nil {
		if err := c.Args(c, args); err != nil {
			return err.Error()
		}
	}
	return ""
}
