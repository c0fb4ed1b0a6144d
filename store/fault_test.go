package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// cutter breaks connections at their nth write from when it was armed.
type cutter struct {
	left   atomic.Int64 // writes that still pass; negative means unarmed or done
	landed bool         // the fatal write arrives, and only its answer is lost
}

func (c *cutter) wrap(config *pgxpool.Config) {
	config.MaxConns = 1
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cutConn{Conn: conn, c: c}, nil
	}
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c *cutConn) Write(b []byte) (int, error) {
	if c.c.left.Load() < 0 || c.c.left.Add(-1) >= 0 {
		return c.Conn.Write(b)
	}
	if c.c.landed {
		c.Conn.Write(b) // whether it arrives is all that matters
	}
	return 0, errors.Join(errors.New("cut"), c.Conn.Close())
}

// Cut the wire at every write of a commit, before it lands and after: the
// commit is there whole, or not at all, and going on from what the database
// says ends in the same place.
func TestWireCutAtEveryWrite(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed=%v", landed), func(t *testing.T) {
			url := storetest.URL(t)
			cut := &cutter{landed: landed}
			cut.left.Store(-1)
			open := func() *store.Store {
				s, err := store.OpenWith(t.Context(), url, cut.wrap)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := open()
			w := workerOn(t, s)
			for n := int64(0); ; n++ {
				c := w.next()
				c.Incidents = []store.Incident{incident(n, int(n), comments("c"))}
				c.Alerts = []store.Alert{alert(fmt.Sprint(n), 1, evidence("x", "y"), techniques("T1"))}
				cut.left.Store(n)
				_, _, err := w.Store.Commit(t.Context(), c)
				reached := cut.left.Load() < 0
				cut.left.Store(-1)
				s.Close()
				s = open()
				w.Store = s
				// A commit that landed may still be under way; it holds this lock until it is done.
				w.query(`SELECT fence FROM sync.leases FOR UPDATE`)
				cp, loadErr := s.Checkpoint(t.Context(), tenant, "incidents")
				if loadErr != nil {
					t.Fatal(loadErr)
				}
				committed := cp.Revision == c.Checkpoint.Revision+1
				if err == nil && !committed {
					t.Fatalf("cut at write %d: reported as stored, but is not", n)
				}
				wantAllOrNothing(t, w, n, committed)
				if !committed {
					if _, _, err := w.Store.Commit(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					wantAllOrNothing(t, w, n, true)
					cp.Revision++
				}
				w.cp = c.Checkpoint
				w.cp.Revision = cp.Revision
				if !reached {
					t.Logf("%d writes cut", n)
					s.Close()
					if n < 4 {
						t.Errorf("a commit took %d writes only: the sweep is not one", n)
					}
					return
				}
			}
		})
	}
}

// wantAllOrNothing looks for every trace of commit n.
func wantAllOrNothing(t *testing.T, w *worker, n int64, committed bool) {
	t.Helper()
	want := "0 0 0 0 0 0"
	if committed {
		want = "1 1 1 2 1 1"
	}
	got := w.query(`SELECT
		(SELECT count(*) FROM defender.incidents WHERE incident_id = $1), (SELECT count(*) FROM defender.incident_comments WHERE incident_id = $1),
		(SELECT count(*) FROM defender.alerts WHERE alert_id = $2), (SELECT count(*) FROM defender.alert_evidence WHERE alert_id = $2),
		(SELECT count(*) FROM defender.alert_techniques WHERE alert_id = $2), (SELECT count(*) FROM sync.coverage WHERE from_time = $3)`,
		n, fmt.Sprint(n), at(10*int(n)))
	if got[0] != want {
		t.Fatalf("commit %d: rows %s, want %s", n, got[0], want)
	}
}

// Whichever table fails, nothing of the commit stays in any.
func TestFailureInAnyTableUndoesAll(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 1, comments("a")), alert("a", 1, evidence("x"), techniques("T1")))
	tables := w.query(`SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname IN ('defender', 'sync') AND tablename NOT LIKE 'goose%'
			AND tablename NOT LIKE 'hunting%' AND tablename NOT IN ('leases', 'runs', 'quota', 'reconciliations') ORDER BY 1`)
	exec := func(sql string) {
		t.Helper()
		if _, err := w.Pool().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full' USING ERRCODE = '53100'; END $$`)
	dump := func() []string {
		var all []string
		for _, table := range tables {
			all = append(all, w.query(`SELECT '`+table+`', x::text FROM `+table+` AS x ORDER BY 2`)...)
		}
		return all
	}
	before := dump()
	for _, table := range tables {
		c := w.next()
		c.Incidents = []store.Incident{incident(1, 2, comments("b"), status("resolved")), incident(2, 2)}
		c.Alerts = []store.Alert{alert("a", 2, evidence("y"), techniques("T2"), severity("low"))}
		c.Quarantine = []store.Quarantined{{Kind: "alert", Key: "q", Reason: "r"}}
		c.SchemaChanges = []store.SchemaChange{{Object: "alert", Property: "p", Change: "new_property"}}
		exec(`CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON ` + table + ` FOR EACH STATEMENT EXECUTE FUNCTION fail()`)
		if _, _, err := w.Store.Commit(t.Context(), c); err == nil {
			t.Errorf("%s: the commit did not touch it", table)
		}
		exec(`DROP TRIGGER fail ON ` + table)
		after := dump()
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("%s failed, and yet the database changed:\n%v\n%v", table, before, after)
		}
	}
	if len(tables) != 13 {
		t.Errorf("tables %v: does the commit above write them all?", tables)
	}
}

// PostgreSQL may ask for a transaction once more; it is done again, and once.
func TestCommitIsRepeatedAfterDeadlock(t *testing.T) {
	w := newWorker(t)
	for _, sql := range []string{
		`CREATE SEQUENCE tries`, // which no rollback sets back
		`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') < 3 THEN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END IF;
			RETURN NULL;
		END $$`,
		`CREATE TRIGGER fail AFTER INSERT ON sync.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION fail()`,
	} {
		if _, err := w.Pool().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.commit(incident(1, 1), alert("a", 1)), (store.Counts{Inserted: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	w.want(`SELECT revision, rows FROM sync.checkpoints`, "1 2")
}
