package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// settingsRig is small: each case makes a few passes of it.
func settingsRig(t *testing.T) *rig {
	t.Helper()
	return newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 3, Incidents: 20}, limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}})
}

// contents is a sum of each table that passes write, but for the leases, the runs and the calls.
func (r *rig) contents(t testing.TB) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, table := range query[struct{ Name string }](t, r.db, `
		SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname IN ('defender', 'hunting', 'sync') AND NOT (schemaname = 'sync' AND tablename IN ('leases', 'runs', 'quota'))`) {
		sums[table.Name] = value[string](t, r.db, `SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(x::text, '' ORDER BY x::text), '')) FROM `+table.Name+` AS x`)
	}
	return sums
}

// untouched fails unless nothing was written since before.
func (r *rig) untouched(t testing.TB, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, r.contents(t)); diff != "" {
		t.Errorf("a pass that failed wrote something (-before +after):\n%s", diff)
	}
}

// TestSettingsOfTheServer: whatever an administrator sets for the database, a
// pass that cannot be made fails in words that say why, half of nothing is
// written, and when the setting is gone the next pass is complete.
func TestSettingsOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		setting, value string
		before, after  string // SQL that brings the fault about, and takes it back
		says           []string
	}{
		"read only": {setting: "default_transaction_read_only", value: "on",
			says: []string{"read-only", "database.url"}},
		"statement timeout": {setting: "statement_timeout", value: "60ms",
			before: `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
				CREATE TRIGGER wait AFTER INSERT ON defender.alert_evidence FOR EACH STATEMENT EXECUTE FUNCTION wait()`,
			after: `DROP TRIGGER wait ON defender.alert_evidence`,
			says:  []string{"statement timeout"}},
		"deadlocks that do not end": {before: `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END $$;
				CREATE TRIGGER fail AFTER INSERT ON sync.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION fail()`,
			after: `DROP TRIGGER fail ON sync.checkpoints`,
			says:  []string{"deadlock detected"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := settingsRig(t)
			empty := r.contents(t)
			if c.before != "" {
				r.admin(t, c.before)
			}
			if c.setting != "" {
				r.setting(t, c.setting, c.value)
			}
			w := r.newWorker(t, r.openStore(t), "set")
			if text := r.broken(t, w, c.says...); strings.Contains(text, "\n") {
				t.Errorf("the error is more than one line: %s", text)
			} else {
				t.Log(text)
			}
			r.untouched(t, empty)
			if c.setting != "" {
				r.setting(t, c.setting, "")
			}
			if c.after != "" {
				r.admin(t, c.after)
			}
			r.worker = r.newWorker(t, r.openStore(t), "unset")
			r.admin(t, `UPDATE sync.leases SET until = clock_timestamp()`)
			r.sync(t)
			r.whole(t)
		})
	}
}

// TestIdleLimitOfTheServer: a server that ends transactions which stand for a
// moment does not end ours between two statements, which say how long they may.
func TestIdleLimitOfTheServer(t *testing.T) {
	t.Parallel()
	r := settingsRig(t)
	r.setting(t, "idle_in_transaction_session_timeout", "1ms")
	wire := storetest.NewWire(t, r.dsn)
	l := newLine(t, wire.Addr)
	l.spoil("latency", "upstream", `{"latency": 10}`)
	s, err := store.Open(t.Context(), wire.URL(l.proxy.Listen), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	r.worker = r.newWorker(t, s, "slow")
	r.sync(t)
	r.whole(t)
}

// TestRowsLockedByAnother: a session that somebody left open holds a row that a
// commit needs. The commit waits as long as the server lets it, fails in words
// that say so, and is whole when the row is free.
func TestRowsLockedByAnother(t *testing.T) {
	for name, lock := range map[string]string{
		"lease":      `SELECT FROM sync.leases FOR UPDATE`,
		"checkpoint": `SELECT FROM sync.checkpoints FOR UPDATE`,
		"incident":   `SELECT FROM defender.incidents FOR UPDATE`,
		"alerts":     `LOCK TABLE defender.alerts IN SHARE MODE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := settingsRig(t)
			r.sync(t)
			for range 20 {
				r.world.Step()
			}
			r.clock.advance(10 * time.Minute)
			before := r.contents(t)
			other, err := pgx.ConnectConfig(t.Context(), r.db.Config().ConnConfig)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = other.Close(t.Context()) })
			tx, err := other.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			r.setting(t, "lock_timeout", "50ms")
			t.Log(r.broken(t, r.newWorker(t, r.openStore(t), "impatient"), "lock timeout"))
			r.untouched(t, before)
			r.setting(t, "lock_timeout", "")
			// Without a limit it waits, and goes on when the row is free.
			w, done := r.newWorker(t, r.openStore(t), "patient"), make(chan error)
			if name != "lease" {
				r.admin(t, `UPDATE sync.leases SET until = clock_timestamp()`)
			}
			go func() {
				for _, res := range w.Sync(t.Context(), "", nil) {
					if res.Err != nil {
						done <- fmt.Errorf("%s ended %s: %w", res.Stream, res.Outcome, res.Err)
						return
					}
				}
				done <- nil
			}()
			for value[int64](t, r.db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			r.equalsWorld(t)
			r.vouched(t)
		})
	}
}

// TestConnectionsUsedUp: the role may have no more connections. That is told
// when the program starts, a pass that runs into it fails, and the next one is
// complete.
func TestConnectionsUsedUp(t *testing.T) {
	t.Parallel()
	opt := rigOptions{world: defendersim.WorldOptions{Seed: 3, Incidents: 120}, limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}
	var take func()
	opt.sim.OnAnswer = func(n int) {
		if n == 3 {
			take()
		}
	}
	r := newRig(t, opt)
	role := fmt.Sprintf("limited_%d", time.Now().UnixNano())
	r.admin(t, `CREATE ROLE `+role+` LOGIN PASSWORD 'x' CONNECTION LIMIT 2`)
	t.Cleanup(func() {
		_, _ = r.openPool(t).Exec(t.Context(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	})
	for _, schema := range []string{"defender", "hunting", "sync"} {
		r.admin(t, `GRANT ALL ON SCHEMA `+schema+` TO `+role+`; GRANT ALL ON ALL TABLES IN SCHEMA `+schema+` TO `+role)
	}
	config := r.db.Config().ConnConfig.Copy()
	config.User, config.Password = role, "x"
	config.RuntimeParams["application_name"] = "held"
	// hold takes a connection away from the worker, which may be quick to take
	// it back.
	hold := func() *pgx.Conn {
		for {
			r.admin(t, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '`+role+`' AND application_name <> 'held'`)
			conn, err := pgx.ConnectConfig(t.Context(), config)
			switch {
			case err == nil:
				return conn
			case !strings.Contains(err.Error(), "53300"):
				t.Fatal(err)
			}
		}
	}
	// release waits for the end of the processes: until then they count.
	release := func(held ...*pgx.Conn) {
		for _, c := range held {
			r.admin(t, fmt.Sprintf(`SELECT pg_terminate_backend(%d, 10000)`, c.PgConn().PID()))
			_ = c.Close(t.Context())
		}
	}
	dsn := fmt.Sprintf("host=%s port=%d user=%s password=x dbname=%s", config.Host, config.Port, role, config.Database)

	first, second := hold(), hold()
	_, err := store.Open(t.Context(), dsn, 4)
	if err == nil || !strings.Contains(err.Error(), "no connection left") || strings.Contains(err.Error(), "\n") {
		t.Errorf("opening told %v", err)
	}
	release(first, second)
	s, err := store.Open(t.Context(), dsn, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := r.newWorker(t, s, "limited")
	var held []*pgx.Conn
	take = func() { held = append(held, hold(), hold()) }
	t.Log(r.broken(t, w))
	take = func() {}
	t.Log(r.broken(t, w, "too many connections"))
	release(held...)
	r.admin(t, `UPDATE sync.leases SET until = clock_timestamp()`)
	r.worker = w
	r.sync(t)
	r.whole(t)
}
