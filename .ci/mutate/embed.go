package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Most of the time would go into building one program for each mutant. So all of
// them are built into one: a function that a mutant changes is there once more,
// changed, and the first thing that it does is to ask the environment whether
// the other one is meant.
const switchName = "DEFENDERSYNC_MUTANT"

// declared is one function of a file.
type declared struct {
	text   string
	named  int    // where its name begins, in text
	body   int    // where its body begins, in the file
	call   string // what calls it with the parameters that it was called with; %s is its name
	begins int    // in the file
}

// functions reads the functions of a file, and what is left of it without them.
func functions(text string) (map[string]declared, string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, 0)
	if err != nil {
		return nil, "", err
	}
	found, rest, at := map[string]declared{}, "", 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		begin, end := set.Position(f.Pos()).Offset, set.Position(f.End()).Offset
		key := f.Name.Name
		if f.Recv != nil {
			key = text[set.Position(f.Recv.Pos()).Offset:set.Position(f.Recv.End()).Offset] + key
		}
		found[key] = declared{text: text[begin:end], named: set.Position(f.Name.Pos()).Offset - begin,
			body: set.Position(f.Body.Lbrace).Offset + 1, call: callOf(f), begins: begin}
		rest += text[at:begin] + key
		at = end
	}
	return found, rest + text[at:], nil
}

// callOf is "" where the function cannot be called with its own parameters.
func callOf(f *ast.FuncDecl) string {
	call := "%s"
	if f.Recv != nil {
		if len(f.Recv.List[0].Names) == 0 {
			return ""
		}
		call = f.Recv.List[0].Names[0].Name + "." + call
	}
	if f.Type.TypeParams != nil {
		call += "[" + strings.Join(names(f.Type.TypeParams), ", ") + "]"
	}
	args := names(f.Type.Params)
	if slices.Contains(args, "_") || len(args) < f.Type.Params.NumFields() {
		return ""
	}
	if n := len(f.Type.Params.List); n > 0 {
		if _, variadic := f.Type.Params.List[n-1].Type.(*ast.Ellipsis); variadic {
			args[len(args)-1] += "..."
		}
	}
	call += "(" + strings.Join(args, ", ") + ")"
	if f.Type.Results == nil {
		return call + "; return"
	}
	return "return " + call
}

func names(list *ast.FieldList) (all []string) {
	for _, field := range list.List {
		for _, n := range field.Names {
			all = append(all, n.Name)
		}
	}
	return all
}

// embed adds a mutant's functions to a file that may have others' already. It
// says no where more than bodies of functions has changed.
func (f *source) embed(n int, changed string) bool {
	if path.Ext(f.name) != ".go" {
		return false
	}
	before, rest, err := functions(f.whole)
	if err != nil {
		return false
	}
	after, restAfter, err := functions(changed)
	if err != nil || rest != restAfter {
		return false
	}
	added, calls := "", map[int]string{}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		b, a := before[key], after[key]
		if a.text == b.text {
			continue
		}
		if b.call == "" || a.call != b.call {
			return false
		}
		name, _, _ := strings.Cut(a.text[a.named:], "(")
		name, _, _ = strings.Cut(name, "[")
		other := fmt.Sprintf("%s_without_%d", name, n)
		calls[b.body] = fmt.Sprintf("if mutantMeant == \"%d\" { "+b.call+" }; ", n, other)
		added += fmt.Sprintf("\n//line without-%d.go:1\n", n) + a.text[:a.named] + other + a.text[a.named+len(name):] + "\n"
	}
	f.added += added
	for at, call := range calls {
		f.calls[at] += call
	}
	return true
}

// source is one file that mutants change.
type source struct {
	name  string // in the tree
	whole string // as it is
	added string
	calls map[int]string // by where they go
}

// text is the file with what was embedded.
func (f *source) text() string {
	var b bytes.Buffer
	at := 0
	for _, to := range slices.Sorted(maps.Keys(f.calls)) {
		b.WriteString(f.whole[at:to] + f.calls[to])
		at = to
	}
	b.WriteString(f.whole[at:] + f.added)
	return b.String()
}

// asking is the file by which a package learns which mutant is meant.
func asking(dir string, text string) error {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly)
	if err != nil {
		return err
	}
	ask := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutantMeant = os.Getenv(%q)\n", file.Name.Name, switchName)
	return os.WriteFile(filepath.Join(dir, "mutant_meant.go"), []byte(ask), 0o644)
}

// copyTree copies what belongs to the Go module.
func copyTree(to, from string) error {
	skipped := []string{".git", ".cache", ".ci", "data", "node_modules"}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		case !d.Type().IsRegular() || path == "defendersync":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), text, 0o644)
	})
}
