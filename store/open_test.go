package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"defendersync/store"
	"defendersync/store/storetest"
)

// A wrong address gets one sentence that says what to change, without the password.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	url := storetest.URL(t)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	missing := "host=" + config.Host + " user=" + config.User + " dbname=no_such_database password=hunter2"
	for name, tt := range map[string]struct{ url, says string }{
		"no database": {missing, "there is no such database"},
		"no server":   {"postgres://me:hunter2@127.0.0.1:1/db", "is the server running"},
		"not a URL":   {"postgres://me:hunter2@[::1/db", "postgres://user:password@host"},
		"bad port":    {"postgres://me:hunter2@host:port/db", "postgres://user:password@host"},
		"bad keyword": {"password=hunter2 port=many", "postgres://user:password@host"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			s, err := store.Open(ctx, tt.url, 1)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line that says %q", err, tt.says)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	s := storetest.New(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	var name string
	if err := s.Pool().QueryRow(t.Context(), `SHOW application_name`).Scan(&name); err != nil || name != "defendersync" {
		t.Errorf("application_name %q, %v", name, err)
	}
	var now time.Time
	if err := s.Pool().QueryRow(t.Context(), `SELECT now()`).Scan(&now); err != nil || now.Location() != time.UTC {
		t.Errorf("times come in %v, %v", now.Location(), err)
	}
}

func TestDatabase(t *testing.T) {
	ctx, url := t.Context(), storetest.URL(t)
	s, err := store.Open(ctx, url, 1) // one connection, because SET ROLE is its
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	d, err := s.Database(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d.Version == "" || d.VersionNo < 100000 || d.SizeBytes == 0 || d.ReadOnly || len(d.MissingPrivileges) != 0 || !strings.Contains(url, d.Name) {
		t.Errorf("%+v", d)
	}

	exec := func(sql string) {
		t.Helper()
		if _, err := s.Pool().Exec(context.Background(), sql); err != nil { // also when t's own has ended
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE hunting.device_events (tenant_id uuid)`)
	exec(`DROP ROLE IF EXISTS "store test"; CREATE ROLE "store test"; SET ROLE "store test"`)
	t.Cleanup(func() { exec(`RESET ROLE; DROP OWNED BY "store test"; DROP ROLE "store test"`) })
	d, err = s.Database(ctx)
	want := []string{
		`GRANT CREATE ON DATABASE "` + d.Name + `" TO "store test"`,
		`GRANT USAGE ON SCHEMA defender TO "store test"`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA defender TO "store test"`,
		`GRANT USAGE ON SCHEMA hunting TO "store test"`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hunting TO "store test"`,
		`GRANT USAGE ON SCHEMA sync TO "store test"`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sync TO "store test"`,
	}
	if err != nil || !slices.Equal(d.MissingPrivileges, want) {
		t.Errorf("missing %q, %v", d.MissingPrivileges, err)
	}
	exec(`RESET ROLE`)
	for _, grant := range want {
		exec(grant)
	}
	exec(`SET ROLE "store test"`)
	if d, err = s.Database(ctx); err != nil || len(d.MissingPrivileges) > 1 {
		t.Errorf("missing after the grants %q, %v", d.MissingPrivileges, err)
	}
}
