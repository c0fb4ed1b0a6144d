package store_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
)

// openAs opens a store whose connections are the role's.
func openAs(t *testing.T, url, role string) *store.Store {
	t.Helper()
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
	return s
}

// The migrator and the writer of docs/roles.md do with what they are granted there
// all that they have to: one makes the tables and lets the other write, which owns
// nothing, does all that a worker does, and changes no table.
func TestWriterNeedsNoMoreThanItIsGranted(t *testing.T) {
	text, err := os.ReadFile("../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)Migrator and writer apart.*?```\n(.*?)```.*?```\n(.*?)```").FindStringSubmatch(string(text))
	if blocks == nil || !strings.Contains(blocks[1], "CREATE ROLE defendersync_writer") || strings.Count(blocks[2], ";\n") != 3 {
		t.Fatalf("docs/roles.md makes and grants the writer by %q", blocks)
	}
	const role, migrator = "defendersync_test_writer", "defendersync_test_migrator"
	url := storetest.Empty(t)
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
	t.Cleanup(owner.Close)
	for _, name := range []string{migrator, role} {
		exec("DROP ROLE IF EXISTS " + name)
	}
	here := strings.NewReplacer("defendersync_writer", role, "defendersync_migrator", migrator, "DATABASE defender", "DATABASE "+owner.Config().ConnConfig.Database)
	exec(here.Replace(blocks[1]))
	t.Cleanup(func() {
		for _, name := range []string{role, migrator} {
			exec("DROP OWNED BY " + name)
			exec("DROP ROLE " + name)
		}
	})
	m := openAs(t, url, migrator)
	if _, err := migrations.Up(t.Context(), m.Pool()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Pool().Exec(t.Context(), here.Replace(blocks[2])); err != nil {
		t.Fatal(err)
	}
	s := openAs(t, url, role)
	if d, err := s.Database(t.Context()); err != nil || len(d.MissingPrivileges) > 0 {
		t.Errorf("missing %q, %v", d.MissingPrivileges, err)
	}
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

// A reader lists what is in quarantine, and does not see the bytes.
func TestReaderListsQuarantine(t *testing.T) {
	const role = "defendersync_test_quarantine_reader"
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	exec := func(sql string) {
		t.Helper()
		if _, err := s.Pool().Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("DROP ROLE IF EXISTS " + role)
	exec("CREATE ROLE " + role)
	t.Cleanup(func() { exec("DROP OWNED BY " + role); exec("DROP ROLE " + role) })
	w := workerOn(t, s)
	c := w.next()
	c.Quarantine = []store.Quarantined{{Kind: "alert", Key: "q", Reason: "r", Payload: []byte("secret")}}
	w.must(c)
	if err := migrations.GrantRead(t.Context(), s.Pool(), role); err != nil {
		t.Fatal(err)
	}
	reader := openAs(t, url, role)
	all, err := reader.QuarantineList(t.Context(), store.QuarantineFilter{})
	if err != nil || len(all) != 1 || all[0].Size != 6 {
		t.Fatalf("%+v, %v", all, err)
	}
	if q, err := reader.QuarantineGet(t.Context(), all[0].ID); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%+v, %v", q, err)
	}
}
