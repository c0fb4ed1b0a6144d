package store_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// The writer of docs/roles.md, which owns nothing, does all that a worker does,
// and changes no table.
func TestWriterNeedsNoMoreThanItIsGranted(t *testing.T) {
	text, err := os.ReadFile("../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	grants := regexp.MustCompile(`(?m)^(GRANT|ALTER DEFAULT).* TO defendersync_writer;$`).FindAllString(string(text), -1)
	if len(grants) != 3 {
		t.Fatalf("docs/roles.md grants the writer %q", grants)
	}
	const role = "defendersync_test_writer"
	url := storetest.URL(t)
	owner, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := owner.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { exec("DROP OWNED BY " + role); exec("DROP ROLE " + role); owner.Close() })
	exec("DROP ROLE IF EXISTS " + role)
	exec("CREATE ROLE " + role)
	for _, sql := range grants {
		exec(strings.ReplaceAll(sql, "defendersync_writer", role))
	}
	s, err := store.OpenWith(t.Context(), url, func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+role)
			return err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	w.commit(incident(1, 1, comments("a")), alert("a", 1, evidence("x"), techniques("T1")))
	w.commit(incident(1, 2, status("resolved")), alert("a", 2, evidence("y"), severity("low")))
	c := w.next()
	c.Quarantine = []store.Quarantined{{Kind: "alert", Key: "q", Reason: "r"}}
	c.SchemaChanges = []store.SchemaChange{{Object: "alert", Property: "p", Change: "new_property"}}
	w.must(c)
	w.want(`SELECT count(*) FROM defender.incident_history`, "1")
	for _, sql := range []string{"DROP TABLE defender.alerts", "ALTER TABLE defender.alerts ADD COLUMN x text", "CREATE TABLE defender.x ()", "SELECT FROM bi.incidents"} {
		if _, err := s.Pool().Exec(t.Context(), sql); err == nil {
			t.Errorf("the writer may %s", sql)
		}
	}
}
