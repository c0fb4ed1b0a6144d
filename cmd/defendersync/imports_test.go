package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// arrows are the packages of the product with those that each may import. Nothing
// imports cmd; defender and store do not know each other; all SQL is below store.
var arrows = map[string][]string{
	"cmd/defendersync": {"migrations", "store", "store/pglocal", "sync", "sync/defender", "sync/defendersim", "sync/kql", "web"},
	"web":              {"store", "sync"},
	"sync":             {"store", "sync/defender", "sync/kql", "sync/translate"},
	"sync/translate":   {"store", "sync/defender"},
	"sync/defender":    nil,
	"sync/kql":         nil,
	"sync/defendersim": nil,
	"store":            {"migrations"},
	"store/pglocal":    nil,
	"migrations":       nil,
}

// TestArrows compares the imports of the product, without its tests and their
// helpers, with arrows: one more is a decision, to be made there.
func TestArrows(t *testing.T) {
	const module = "defendersync/"
	root := filepath.Join("..", "..")
	got := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && strings.HasPrefix(d.Name(), "."), d.Name() == "node_modules":
			return fs.SkipDir
		case !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if _, ok := arrows[pkg]; !ok && isTestHelper(pkg) {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		got[pkg] = append(got[pkg], nil...)
		for _, i := range syntax.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(name, module); ok && !slices.Contains(got[pkg], ours) {
				got[pkg] = append(got[pkg], ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range got {
		slices.Sort(got[pkg])
	}
	if diff := cmp.Diff(arrows, got); diff != "" {
		t.Errorf("imports (-allowed +found):\n%s", diff)
	}
}

// isTestHelper tells the packages that only tests use, and the generators.
func isTestHelper(pkg string) bool {
	return path.Base(pkg) == "storetest" || path.Base(pkg) == "webtest" || strings.HasPrefix(pkg, "store/storetest/") ||
		strings.HasPrefix(pkg, "store/pglocal/") || strings.HasPrefix(pkg, "deploy")
}
