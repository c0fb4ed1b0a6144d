package store_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

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

// A server that answers is not said to be down because of TLS.
func TestOpenTellsTLSFromAServerThatIsDown(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	for name, tt := range map[string]struct {
		mode, says string
		answer     func(net.Conn)
	}{
		"refused": {"require", "without TLS: turn it on there, or change sslmode", func(conn net.Conn) { conn.Write([]byte("N")) }},
		"untrusted": {"verify-full", "certificate is not trusted: name its issuer's file by sslrootcert", func(conn net.Conn) {
			conn.Write([]byte("S"))
			_ = tls.Server(conn, certified.TLS).HandshakeContext(t.Context())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
					if _, err := io.ReadFull(conn, make([]byte, 8)); err == nil { // the request for TLS
						tt.answer(conn)
					}
					conn.Close()
				}
			}()
			s, err := store.Open(t.Context(), "postgres://me@"+ln.Addr().String()+"/db?sslmode="+tt.mode, 1)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "is the server running") {
				t.Errorf("error %q, want one that says %q", err, tt.says)
			}
		})
	}
}

// A call that has to connect anew says the same as the start, on one line and each address once.
func TestCallsSayWhatIsWrongWithTheConnection(t *testing.T) {
	var down atomic.Bool
	s, err := store.OpenWith(t.Context(), storetest.URL(t), func(config *pgxpool.Config) {
		c := config.ConnConfig
		c.Fallbacks = append(c.Fallbacks, &pgconn.FallbackConfig{Host: c.Host, Port: c.Port}) // as sslmode=prefer has it
		dial := c.DialFunc
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Load() {
				return nil, errors.New("refused")
			}
			return dial(ctx, network, addr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	down.Store(true)
	s.Pool().Reset()
	now := time.Now()
	for name, call := range map[string]func(context.Context) error{
		"ping":  s.Ping,
		"exec":  func(ctx context.Context) error { return s.Renew(ctx, store.Lease{TenantID: tenant}, time.Minute) },
		"query": func(ctx context.Context) error { _, err := s.Runs(ctx, tenant, "", 1); return err },
		"row":   func(ctx context.Context) error { _, err := s.Checkpoint(ctx, tenant, "incidents"); return err },
		"batch": func(ctx context.Context) error { return s.RecordCall(ctx, tenant, "incidents", now) },
		"begin": func(ctx context.Context) error { _, err := s.Acquire(ctx, tenant, "me", time.Minute); return err },
	} {
		err := call(t.Context())
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		says := err.Error()
		if !strings.Contains(says, ": cannot connect to database ") || !strings.Contains(says, "is the server running there") ||
			strings.ContainsAny(says, "\n\t") || strings.Count(says, "refused") != 1 {
			t.Errorf("%s: %q", name, says)
		}
		if _, kept := errors.AsType[*pgconn.ConnectError](err); !kept {
			t.Errorf("%s: pgx's error is lost in %v", name, err)
		}
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
	if d.Version == "" || d.VersionNo < 100000 || d.SizeBytes == 0 || d.ReadOnly || len(d.MissingPrivileges)+len(d.MissingToMigrate) != 0 || d.SchemaOwner != "" || !strings.Contains(url, d.Name) {
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
	toMigrate := []string{`GRANT CREATE ON SCHEMA hunting TO "store test"`}
	if !slices.Equal(d.MissingToMigrate, toMigrate) || d.SchemaOwner == "" || d.SchemaOwner == d.Role {
		t.Errorf("missing to migrate %q; the schemas are %q's", d.MissingToMigrate, d.SchemaOwner)
	}
	exec(`RESET ROLE`)
	for _, grant := range append(want, toMigrate...) {
		exec(grant)
	}
	exec(`SET ROLE "store test"`)
	if d, err = s.Database(ctx); err != nil || len(d.MissingPrivileges)+len(d.MissingToMigrate) > 0 {
		t.Errorf("missing after the grants %q and %q, %v", d.MissingPrivileges, d.MissingToMigrate, err)
	}
	exec(`RESET ROLE; DROP SCHEMA bi CASCADE; SET ROLE "store test"`)
	toMigrate = []string{`GRANT CREATE ON DATABASE "` + d.Name + `" TO "store test"`}
	if d, err = s.Database(ctx); err != nil || !slices.Equal(d.MissingToMigrate, toMigrate) {
		t.Errorf("missing to make a schema %q, %v", d.MissingToMigrate, err)
	}
}
