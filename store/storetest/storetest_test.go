//go:build unix

package storetest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"defendersync/store/pglocal"
	"defendersync/store/storetest"
)

// childEnv turns TestChild on, in a process that another test starts, and says
// how that process shall end.
const childEnv = "STORETEST_CHILD"

// TestChild is what happens in other people's tests.
func TestChild(t *testing.T) {
	end := os.Getenv(childEnv)
	if end == "" {
		t.Skip("only as the child of another test of this package")
	}
	dsn := storetest.URL(t)
	fmt.Println(dsn)
	exec1(t, dsn, "CREATE TABLE note AS SELECT 'from the child' AS text")
	switch end {
	case "fail":
		t.Error("as asked")
	case "killed":
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent kills us
	}
}

func child(t *testing.T, end string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^TestChild$", "-test.v")
	c.Env = append(append(os.Environ(), childEnv+"="+end), env...)
	return c
}

// urlIn finds the address that a child printed, and the directory in it.
func urlIn(t *testing.T, out []byte) (dsn, dir string) {
	t.Helper()
	dsn = string(regexp.MustCompile(`postgres://\S+`).Find(out))
	u, err := url.Parse(dsn)
	if err != nil || dsn == "" {
		t.Fatalf("no address in %q: %v", out, err)
	}
	return dsn, filepath.Dir(u.Query().Get("host"))
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func exec1(t *testing.T, dsn, sql string) {
	t.Helper()
	if _, err := connect(t, dsn).Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func scan[T any](t *testing.T, dsn, sql string, args ...any) (v T) {
	t.Helper()
	if err := connect(t, dsn).QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func waitGone(t *testing.T, dir string) {
	t.Helper()
	waitFor(t, dir+" to vanish", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

const hasIncidents = "SELECT to_regclass('defender.incidents') IS NOT NULL"

func TestDatabasesAreMigratedAndApart(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			dsn := storetest.URL(t)
			if !scan[bool](t, dsn, hasIncidents) {
				t.Error("not migrated")
			}
			exec1(t, dsn, "CREATE TABLE mine ()") // fails where another's is seen
		})
	}
}

func TestEmptyHasNoMigration(t *testing.T) {
	if scan[bool](t, storetest.Empty(t), hasIncidents) {
		t.Error("migrated")
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	var dsn string
	t.Run("inner", func(t *testing.T) {
		dsn = storetest.URL(t)
		connect(t, dsn) // an open connection does not keep it
	})
	if c, err := pgx.Connect(t.Context(), dsn); err == nil {
		c.Close(t.Context())
		t.Errorf("%s is still there", dsn)
	}
}

func TestServerVanishesWithItsProcess(t *testing.T) {
	out, err := child(t, "pass", "TEST_DATABASE_URL=").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, dir := urlIn(t, out)
	waitGone(t, dir)
}

func TestServerVanishesWhenItsProcessIsKilled(t *testing.T) {
	c := child(t, "killed", "TEST_DATABASE_URL=")
	_, dir := urlIn(t, killAfterURL(t, c))
	waitGone(t, dir)
}

// killAfterURL kills a child once it has its database.
func killAfterURL(t *testing.T, c *exec.Cmd) []byte {
	t.Helper()
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var said []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(said, []byte("postgres://")) {
		n, err := out.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			t.Fatalf("child said %q: %v", said, err)
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed
	return said
}

func TestDatabaseOfAFailedTestIsKeptAndNamed(t *testing.T) {
	out, err := child(t, "fail", "TEST_DATABASE_URL=").CombinedOutput()
	if err == nil {
		t.Fatalf("the child passed\n%s", out)
	}
	dsn, dir := urlIn(t, out)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if want := "storetest/open " + dir + " " + name; !strings.Contains(string(out), want) {
		t.Fatalf("the log does not say %q:\n%s", want, out)
	}
	waitFor(t, "the mark of a kept directory", func() bool {
		_, err := os.Stat(filepath.Join(dir, "kept"))
		return err == nil
	})
	server, err := pglocal.Start(t.Context(), pglocal.Options{Dir: dir, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	note := scan[string](t, server.URL(name), "SELECT text FROM note")
	if note != "from the child" {
		t.Errorf("the kept database holds %q", note)
	}
	if err := server.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if removed, err := pglocal.Remove(dir); !removed || err != nil {
		t.Errorf("remove %s: %v, %v", dir, removed, err)
	}
}

// On a server that tests share, the next process drops what a killed one left,
// and neither the live nor the kept.
func TestSharedServerIsSwept(t *testing.T) {
	admin := storetest.Empty(t) // stands for somebody's server
	env := "TEST_DATABASE_URL=" + admin
	left, _ := urlIn(t, killAfterURL(t, child(t, "killed", env)))
	if !exists(t, admin, left) {
		t.Fatalf("the killed child's database %s is gone already", left)
	}
	mine := storetest.URL(t)
	failed, err := child(t, "fail", env).CombinedOutput()
	if err == nil {
		t.Fatalf("the child passed\n%s", failed)
	}
	if exists(t, admin, left) {
		t.Errorf("%s was not swept", left)
	}
	if out, err := child(t, "pass", env).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if kept, _ := urlIn(t, failed); !exists(t, admin, kept) {
		t.Errorf("%s was swept, though its test failed", kept)
	}
	if !exists(t, admin, mine) {
		t.Errorf("%s was swept from under a live process", mine)
	}
}

func exists(t *testing.T, admin, dsn string) bool {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return scan[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", strings.TrimPrefix(u.Path, "/"))
}

func TestMissingPostgreSQLFails(t *testing.T) {
	out, err := child(t, "pass", "TEST_DATABASE_URL=", "PG_BIN=/nowhere").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("--- FAIL")) || !bytes.Contains(out, []byte("apt-get install")) {
		t.Errorf("without PostgreSQL: %v\n%s", err, out)
	}
}

func TestNewOpensAStore(t *testing.T) {
	s := storetest.New(t)
	var migrated bool
	if err := s.Pool().QueryRow(t.Context(), hasIncidents).Scan(&migrated); err != nil || !migrated {
		t.Errorf("the store's database is migrated: %v, %v", migrated, err)
	}
}
