package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile parses the file as BuildKit does, with its lint rules, and holds two of
// ours: no image runs as root, and each says how its health is asked.
func dockerfile(_ context.Context, path string) (errs []error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return []error{err}
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return []error{err}
	}
	rules := linter.New(&linter.Config{Warn: func(rule, _, _, message string, at []parser.Range) {
		errs = append(errs, fmt.Errorf("line %d: %s: %s", line(at), rule, message))
	}})
	stages, _, err := instructions.Parse(tree.AST, rules)
	if err != nil {
		return append(errs, err)
	}
	for _, stage := range stages {
		if stage.Name == "build" {
			continue
		}
		user, healthy := "", false
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.UserCommand:
				user = c.User
			case *instructions.HealthCheckCommand:
				healthy = true
			}
		}
		if name, _, _ := strings.Cut(user, ":"); name == "" || name == "0" || name == "root" {
			errs = append(errs, fmt.Errorf("stage %s runs as root", stage.Name))
		}
		if !healthy {
			errs = append(errs, fmt.Errorf("stage %s has no HEALTHCHECK", stage.Name))
		}
	}
	return errs
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}
