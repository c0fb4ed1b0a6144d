package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// aCommit is one kind of commit: what it is, and where it writes.
type aCommit struct {
	kind   string
	tables []string
	make   func(w *worker, n int) *store.Commit // one row changes and two are new with each n from 1
	want   store.Counts
}

// commits are both kinds. The first commit of each makes what later ones change.
func commits() []aCommit {
	return []aCommit{
		{"incidents", []string{"defender.incidents", "defender.incident_history", "defender.alerts", "defender.alert_evidence", "sync.coverage", "sync.checkpoints"},
			func(w *worker, n int) *store.Commit {
				c := w.next()
				c.Incidents = []store.Incident{incident(1, n, status(fmt.Sprint(n))), incident(int64(n)+1, n)}
				c.Alerts = []store.Alert{alert(fmt.Sprint(n), n, evidence("x"))}
				return c
			}, store.Counts{Inserted: 2, Updated: 1}},
		{"hunting", []string{"hunting.device_events", "sync.coverage", "sync.checkpoints"},
			func(w *worker, n int) *store.Commit {
				h := hunterOn(w, device)
				h.add(deviceColumns, event(0, "0", fmt.Sprint(n)), event(n, fmt.Sprint(2*n), "a"), event(n, fmt.Sprint(2*n+1), "b"))
				c := w.next()
				c.Checkpoint.Stream, c.Hunt = h.cp.Stream, h.rows
				return c
			}, store.Counts{Inserted: 2, Updated: 1}},
	}
}

// eachCommit runs a test on both kinds, after a first commit. The pool of the
// worker is as change makes it.
func eachCommit(t *testing.T, change func(*pgxpool.Config), test func(t *testing.T, w *worker, c aCommit)) {
	for _, c := range commits() {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			s, err := store.OpenWith(t.Context(), storetest.URL(t), change)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			w := workerOn(t, s)
			w.must(c.make(w, 0))
			test(t, w, c)
		})
	}
}

// Wherever in a commit, and at COMMIT itself, PostgreSQL asks for the
// transaction once more: it is done again, and its rows are counted once.
func TestRefusedTransactionIsRepeated(t *testing.T) {
	eachCommit(t, func(*pgxpool.Config) {}, func(t *testing.T, w *worker, c aCommit) {
		exec := func(sql string) {
			t.Helper()
			if _, err := w.Pool().Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		exec(`CREATE SEQUENCE tries`) // which no rollback sets back
		exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') < 3 THEN RAISE 'once more' USING ERRCODE = TG_ARGV[0]; END IF;
			RETURN NULL;
		END $$`)
		n := 0
		for _, code := range []string{"40P01", "40001"} {
			for _, trigger := range append([]string{"COMMIT"}, c.tables...) {
				n++
				on := fmt.Sprintf(`CREATE TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse('%s')`, trigger, code)
				if trigger == "COMMIT" {
					trigger = "sync.checkpoints"
					on = fmt.Sprintf(`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse('%s')`, trigger, code)
				}
				exec(on)
				exec(`ALTER SEQUENCE tries RESTART`)
				if got := w.must(c.make(w, n)); got != c.want {
					t.Errorf("%s at %s: counts %+v, want %+v", code, on, got, c.want)
				}
				w.want(`SELECT last_value >= 3 FROM tries`, "true")
				exec(`DROP TRIGGER refuse ON ` + trigger)
			}
		}
		w.want(`SELECT revision FROM sync.checkpoints`, fmt.Sprint(n+1))
		w.want(`SELECT count(*) FROM sync.coverage WHERE verdict = 'complete'`, fmt.Sprint(n+1))
	})
}

// other is a session beside the worker's.
func other(t *testing.T, w *worker) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), w.Pool().Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// waiting returns when a session of the database waits for another.
func waiting(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for waits := false; !waits; {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
}

// perform runs statements on a connection.
func perform(t *testing.T, conn *pgx.Conn, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
	}
}

// landed commits while another session is in the way, and returns the outcome.
func landed(t *testing.T, w *worker, c *store.Commit) <-chan error {
	done := make(chan error, 1)
	go func() {
		cp, _, err := w.Store.Commit(t.Context(), c)
		w.cp = cp
		done <- err
	}()
	return done
}

// The lease is renewed while a commit waits for it: under a stricter isolation
// than the usual, which a server or a role may have by default, PostgreSQL
// refuses the commit (40001). It is made again.
func TestSerializationFailureIsRepeated(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			strict := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level }
			eachCommit(t, strict, func(t *testing.T, w *worker, c aCommit) {
				o, look := other(t, w), other(t, w)
				perform(t, o, `BEGIN`, `UPDATE sync.leases SET until = until + interval '1 minute'`)
				done := landed(t, w, c.make(w, 1))
				waiting(t, look)
				perform(t, o, `COMMIT`)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				w.want(`SELECT revision FROM sync.checkpoints`, "2")
			})
		})
	}
}

// Two streams that call in the same second count in the same row, which a
// stricter isolation refuses to one of them. Its call is put on record all the same.
func TestCallOfTheSameSecondIsRecorded(t *testing.T) {
	strict := func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
	}
	s, err := store.OpenWith(t.Context(), storetest.URL(t), strict)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	record := func() error { return s.RecordCall(t.Context(), tenant, "incidents", at(0)) }
	if err := record(); err != nil {
		t.Fatal(err)
	}
	o, look := other(t, w), other(t, w)
	perform(t, o, `BEGIN`, `UPDATE sync.quota SET calls = calls + 1`)
	done := make(chan error, 1)
	go func() { done <- record() }()
	waiting(t, look)
	perform(t, o, `COMMIT`)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.want(`SELECT calls FROM sync.quota`, "3")
}

// A session that locks a row which the commit needs, and then wants the lease,
// which the commit holds: PostgreSQL ends the commit's transaction (40P01), and
// it is made again when the other has gone.
func TestDeadlockIsRepeated(t *testing.T) {
	quick := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["deadlock_timeout"] = "300ms" }
	eachCommit(t, quick, func(t *testing.T, w *worker, c aCommit) {
		o, look := other(t, w), other(t, w)
		perform(t, o, `SET deadlock_timeout = '1h'`, `BEGIN`, `SELECT FROM sync.checkpoints FOR UPDATE`)
		done := landed(t, w, c.make(w, 1))
		waiting(t, look)
		perform(t, o, `SELECT FROM sync.leases FOR UPDATE`, `ROLLBACK`)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.want(`SELECT revision FROM sync.checkpoints`, "2")
	})
}

// A commit that finds itself idle for longer than the server lets it, or a
// statement that takes too long, is not half there.
func TestTimeoutsOfTheServer(t *testing.T) {
	for _, setting := range []string{"statement_timeout", "lock_timeout"} {
		t.Run(setting, func(t *testing.T) {
			short := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[setting] = "50" }
			eachCommit(t, short, func(t *testing.T, w *worker, c aCommit) {
				o := other(t, w)
				perform(t, o, `SET statement_timeout = 0`, `BEGIN`, `SELECT FROM sync.checkpoints FOR UPDATE`)
				before := w.query(`SELECT x::text FROM sync.coverage AS x`)
				next := c.make(w, 1)
				_, _, err := w.Store.Commit(t.Context(), next)
				if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "57014" && pg.Code != "55P03" {
					t.Errorf("the error is %v", err)
				}
				perform(t, o, `ROLLBACK`)
				w.want(`SELECT x::text FROM sync.coverage AS x`, before...)
				if got := w.must(next); got != c.want {
					t.Errorf("again: counts %+v, want %+v", got, c.want)
				}
			})
		})
	}
}

// A worker's machine that is gone without a word leaves a transaction that the
// server takes for alive for hours. No transaction may hold the lease that long:
// each has the server end it when it stands.
func TestTransactionsDoNotStandForEver(t *testing.T) {
	eachCommit(t, func(*pgxpool.Config) {}, func(t *testing.T, w *worker, c aCommit) {
		for _, sql := range []string{
			`CREATE FUNCTION limited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF current_setting('idle_in_transaction_session_timeout') = '0' THEN RAISE 'it may stand for ever'; END IF;
				RETURN NEW;
			END $$`,
			`CREATE TRIGGER limited BEFORE INSERT OR UPDATE ON sync.checkpoints FOR EACH ROW EXECUTE FUNCTION limited()`,
			`CREATE TRIGGER limited BEFORE UPDATE OF owner ON sync.leases FOR EACH ROW EXECUTE FUNCTION limited()`,
			`UPDATE sync.leases SET until = clock_timestamp()`,
		} {
			perform(t, other(t, w), sql)
		}
		lease, err := w.Acquire(t.Context(), tenant, "worker", ttl)
		if err != nil {
			t.Fatal(err)
		}
		w.lease = lease
		w.must(c.make(w, 1))
		w.want(`SELECT current_setting('idle_in_transaction_session_timeout')`, "0") // the setting ends with the transaction
	})
}
