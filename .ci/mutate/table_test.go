package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTableIsUpToDate looks at what a change of the product most often breaks: the
// text that a mutant replaces, and the test that has to notice.
func TestTableIsUpToDate(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, m := range mutants() {
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Errorf("%s: %v", m.device, err)
			continue
		}
		if _, err := m.apply(string(text)); err != nil {
			t.Errorf("%s: %v", m.device, err)
		}
		if !hasTest(t, filepath.Join(root, m.pkg), m.test) {
			t.Errorf("%s: package %s has no test %s", m.device, m.pkg, m.test)
		}
	}
}

func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	name, _, _ := strings.Cut(test, "/")
	begin := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && begin.Match(text) {
			return true
		}
	}
	return false
}
