//go:build pooler

package sync_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pooler starts a PgBouncer in transaction mode before the database at dsn, and
// returns the database's address by way of it. Each transaction may be on
// another connection to the server than the one before: with turns 1 it is, and
// with 0 it is whichever was used last, which another client may have left.
func pooler(t *testing.T, dsn string, turns int) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // which is not on everybody's PATH
	}
	to, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	dir, err := os.MkdirTemp("", "defendersync-pooler-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	password := ""
	if to.Password != "" {
		password = " password='" + to.Password + "'"
	}
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n%s = host=%s port=%d user=%s%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\ndefault_pool_size = 6\nserver_round_robin = %d\n", to.Database, to.Host, to.Port, to.User, password, port, turns)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, config)
	if st, err := os.Stat(to.Host); err == nil && os.Geteuid() == 0 { // it refuses root, and a private server's socket is its account's
		owner := st.Sys().(*syscall.Stat_t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		for _, path := range []string{dir, config} {
			if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs PgBouncer, which `make pooler` installs: %v", err)
	}
	lines := bufio.NewScanner(said)
	up, why := false, ""
	for !up && lines.Scan() {
		line := lines.Text()
		up = strings.Contains(line, "process up")
		why += line + "; "
	}
	var drained sync.WaitGroup
	drained.Go(func() {
		for lines.Scan() {
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		drained.Wait()
		_ = cmd.Wait()
	})
	if !up {
		t.Fatalf("PgBouncer does not start: %s", why)
	}
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", to.User, port, to.Database)
}

// TestPoolerPasses makes passes through a pooler in transaction mode: of both
// kinds, by two workers that take turns, with the migration of a hunting table.
func TestPoolerPasses(t *testing.T) {
	eachKind(t, rigOptions{world: defendersim.WorldOptions{Seed: 9}}, func(t *testing.T, r *faulty) {
		r.dsn = pooler(t, r.dsn, 1)
		r.store = r.openStore(t)
		for _, owner := range []string{"first", "second"} {
			r.worker = r.newWorker(t, r.openStore(t), owner)
			r.sync(t)
		}
		r.whole(t)
		// The comparison above read the server itself; a program's own reads go through the pooler.
		if _, err := r.store.Database(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestPoolerMigrations lets several programs migrate one database at once
// through a pooler: each migration is applied once, and no lock is left behind.
func TestPoolerMigrations(t *testing.T) {
	dsn := storetest.Empty(t)
	through := pooler(t, dsn, 0)
	const programs = 4
	applied := make([][]string, programs)
	var all sync.WaitGroup
	for n := range programs {
		s, err := store.Open(t.Context(), through, 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		all.Go(func() {
			var err error
			if applied[n], err = migrations.Up(t.Context(), s.Pool()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	known, err := migrations.Status(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range known {
		want = append(want, m.Name)
	}
	if got := slices.Concat(applied...); !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v", got, want)
	}
	if n := value[int64](t, pool, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`); n != 0 {
		t.Errorf("%d locks are left behind", n)
	}
}
