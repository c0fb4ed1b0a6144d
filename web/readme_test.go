package web

import (
	"context"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"defendersync/store/storetest"

	"github.com/jackc/pgx/v5"
)

// TestReadmeQueries runs what the README tells people to run.
func TestReadmeQueries(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), storetest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	queries := 0
	for _, block := range strings.Split(string(readme), "```sql\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for query := range strings.SplitSeq(strings.TrimSpace(block), ";") {
			if query == "" {
				continue
			}
			queries++
			if _, err := conn.Exec(t.Context(), query); err != nil {
				t.Errorf("%v in:%s", err, query)
			}
		}
	}
	if queries < 3 {
		t.Errorf("found %d queries, want three at least", queries)
	}
}

// TestReadmeNamesRealTests finds every test that the README gives as a proof.
func TestReadmeNamesRealTests(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`").FindAllStringSubmatch(string(readme), -1)
	if len(named) < 9 {
		t.Errorf("found %d names, want one for each promise at least", len(named))
	}
	sources := testSources(t)
	for _, name := range named {
		if !strings.Contains(sources, "func "+name[1]+"(t *testing.T)") {
			t.Errorf("there is no test %s", name[1])
		}
	}
}

// testSources is the text of every test file of the module.
func testSources(t *testing.T) string {
	var all strings.Builder
	module := os.DirFS("..")
	err := fs.WalkDir(module, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." || path == "data":
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(module, path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
