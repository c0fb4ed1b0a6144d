package migrations_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

// finished fails unless the database is as if no migration had ever been
// interrupted: the schema, and one entry in the ledger for each.
func finished(t *testing.T, dsn string) {
	t.Helper()
	pool := connect(t, dsn)
	if diff := cmp.Diff(schema(t, connect(t, storetest.URL(t))), schema(t, pool)); diff != "" {
		t.Errorf("the schema is another one (-want +got):\n%s", diff)
	}
	for _, twice := range texts(t, pool, `SELECT version_id::text FROM sync.goose_db_version GROUP BY 1 HAVING count(*) > 1`) {
		t.Errorf("version %s is in the ledger more than once", twice)
	}
	if current, err := migrations.Current(t.Context(), pool); err != nil || !current {
		t.Errorf("current: %t, %v", current, err)
	}
	for _, lock := range texts(t, pool, `SELECT l::text FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
		WHERE locktype = 'advisory' AND datname = current_database()`) {
		t.Errorf("a lock is left: %s", lock)
	}
}

// interrupted says whether Up by way of a wire failed.
func interrupted(t *testing.T, url string) error {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	_, err = migrations.Up(t.Context(), pool)
	return err
}

// A migration whose connection is cut, before a write lands or after, is there
// whole or not at all, and the next Up goes on from there. Each Up is cut some
// writes later than the one before, until one has no more writes than that.
func TestInterruptedMigration(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for _, from := range []int64{5, 14} {
			t.Run(fmt.Sprintf("landed=%v/%d", landed, from), func(t *testing.T) {
				t.Parallel()
				dsn := storetest.Empty(t)
				wire := storetest.NewWire(t, dsn)
				failed := 0
				for n, hit := from, true; hit; n += 19 {
					cut := wire.Cut(n, landed)
					err := interrupted(t, wire.URL(wire.Addr))
					select {
					case <-cut:
					default:
						hit = false
					}
					if err != nil && !hit {
						t.Fatalf("the way up failed by itself: %v", err)
					}
					if err != nil {
						failed++
					}
				}
				t.Logf("interrupted %d times", failed)
				if failed < 2 {
					t.Errorf("interrupted %d times only", failed)
				}
				finished(t, dsn)
			})
		}
	}
}

// migrateEnv tells this test binary that it is to migrate, and what.
const migrateEnv = "DEFENDERSYNC_TEST_MIGRATE"

// TestHelperMigrate is not a test: it is the program that TestKilledMigration kills.
func TestHelperMigrate(t *testing.T) {
	url := os.Getenv(migrateEnv)
	if url == "" {
		t.Skip("runs only as the program of another test")
	}
	if err := interrupted(t, url); err != nil {
		t.Fatal(err)
	}
}

// A program that migrates is killed in the middle of it, while another waits
// for it: that one finishes.
func TestKilledMigration(t *testing.T) {
	for _, at := range []int64{4, 11, 19, 26, 33} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			dsn := storetest.Empty(t)
			wire := storetest.NewWire(t, dsn)
			stalled := wire.Stall(at)
			killed := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperMigrate$")
			killed.Env = append(os.Environ(), migrateEnv+"="+wire.URL(wire.Addr))
			killed.Stdout, killed.Stderr = io.Discard, io.Discard
			if err := killed.Start(); err != nil {
				t.Fatal(err)
			}
			<-stalled
			other := make(chan error, 1)
			go func() { other <- interrupted(t, dsn) }()
			if err := killed.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := killed.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("the program ended: %v", err)
			}
			if err := <-other; err != nil {
				t.Error(err)
			}
			finished(t, dsn)
		})
	}
}
