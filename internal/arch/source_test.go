package arch

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is how long a file may be; about 130 is what it should be.
const maxLines = 400

func TestFiles_AreShort(t *testing.T) {
	for _, suffix := range []string{".go", ".sql"} {
		for _, path := range files(t, suffix) {
			text := read(t, path)
			if n := strings.Count(text, "\n"); n > maxLines && !generated(text) {
				t.Errorf("%s has %d lines, must have at most %d: a file is one idea", path, n, maxLines)
			}
		}
	}
}

func TestPackages_HaveOneComment(t *testing.T) {
	for _, p := range packages(t) {
		var commented []string
		written := 0
		for _, name := range p.GoFiles {
			path := filepath.Join(p.path(), name)
			if generated(read(t, path)) {
				continue
			}
			written++
			if doc := parse(t, path).Doc; doc != nil {
				commented = append(commented, name)
				if want := opening(p); !strings.HasPrefix(doc.Text(), want) {
					t.Errorf("%s: the package comment does not begin with %q", path, want)
				}
			}
		}
		if written > 0 && len(commented) != 1 {
			t.Errorf("%s has %d package comments %v, must have one", p.path(), len(commented), commented)
		}
	}
}

// opening is how the comment of a package or a program begins.
func opening(p pkg) string {
	if p.Name == "main" {
		return "Command " + filepath.Base(p.ImportPath) + " "
	}
	return "Package " + p.Name + " "
}

func TestExportedNames_AreExplained(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" {
			continue
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.path(), name)
			if text := read(t, path); generated(text) {
				continue
			}
			for _, decl := range parse(t, path).Decls {
				for _, missing := range unexplained(decl) {
					t.Errorf("%s: %s needs a comment that begins with its name", path, missing)
				}
			}
		}
	}
}

// unexplained returns the exported names of decl without a comment. In a group of
// constants or variables a comment over the group, or at the end of a line, will do.
func unexplained(decl ast.Decl) []string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) && !begins(d.Doc, d.Name.Name) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var missing []string
		for _, spec := range d.Specs {
			missing = append(missing, unexplainedSpec(d, spec)...)
		}
		return missing
	}
	return nil
}

func unexplainedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		doc := s.Doc
		if doc == nil {
			doc = d.Doc
		}
		if s.Name.IsExported() && !begins(doc, s.Name.Name) {
			return []string{s.Name.Name}
		}
	case *ast.ValueSpec:
		grouped := d.Lparen.IsValid()
		for _, name := range s.Names {
			explained := s.Doc != nil || s.Comment != nil || d.Doc != nil
			if !grouped {
				explained = begins(d.Doc, name.Name)
			}
			if name.IsExported() && !explained {
				return []string{name.Name}
			}
		}
	}
	return nil
}

// begins reports whether a comment begins with name, as in "Name does", "Name: what
// it means" and "Name, given by a handler, does".
func begins(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	rest, ok := strings.CutPrefix(doc.Text(), name)
	return ok && slices.Contains([]byte(" ,:\n"), rest[0])
}

// exportedReceiver reports whether a function is one, or the method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}
