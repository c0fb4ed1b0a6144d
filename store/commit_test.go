package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"defendersync/store"
)

func TestCommitStores(t *testing.T) {
	w := newWorker(t)
	got := w.commit(
		incident(1, 5, comments("first", "second")),
		incident(2, 6),
		alert("a", 5, evidence("x.exe", "y.dll"), techniques("T1566", "T1059", "T1566")),
	)
	if want := (store.Counts{Inserted: 3}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if w.cp.Revision != 1 || w.cp.Rows != 3 || !w.cp.Watermark.Equal(at(10)) || !w.cp.PassedAt.IsZero() || w.cp.ResumePoint != nil {
		t.Errorf("checkpoint %+v", w.cp)
	}
	w.want(`SELECT incident_id, status, raw->>'v', first_synced_at = synced_at FROM defender.incidents ORDER BY 1`, "1 active 5 true", "2 active 6 true")
	w.want(`SELECT incident_id, comment_no, comment FROM defender.incident_comments ORDER BY 1, 2`, "1 1 first", "1 2 second")
	w.want(`SELECT alert_id, evidence_no, file_name FROM defender.alert_evidence ORDER BY 1, 2`, "a 1 x.exe", "a 2 y.dll")
	w.want(`SELECT alert_id, technique FROM defender.alert_techniques ORDER BY 1, 2`, "a T1059", "a T1566")
	w.want(`SELECT count(*) FROM defender.incident_history`, "0")
	w.want(`SELECT rows, calls, verdict, run_id::text FROM sync.coverage`, "0 1 complete "+run)
	w.want(`SELECT * FROM sync.gaps`)
}

// The stale guard: in whatever order versions arrive, the newest stays.
func TestOlderVersionNeverOverwrites(t *testing.T) {
	for _, order := range [][]int{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {1, 3, 2}, {2, 1, 3}, {3, 1, 2}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			w := newWorker(t)
			for _, v := range order {
				text := fmt.Sprint("v", v)
				w.commit(incident(1, v, comments(text)), alert("a", v, evidence(text), techniques(text)))
			}
			w.want(`SELECT raw->>'v' FROM defender.incidents`, "3")
			w.want(`SELECT raw->>'v' FROM defender.alerts`, "3")
			w.want(`SELECT comment FROM defender.incident_comments`, "v3")
			w.want(`SELECT file_name FROM defender.alert_evidence`, "v3")
			w.want(`SELECT technique FROM defender.alert_techniques`, "v3")
		})
	}
}

func TestStaleCountsAsUnchanged(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 5), alert("a", 5))
	got := w.commit(incident(1, 4), alert("a", 4), incident(2, 4))
	if want := (store.Counts{Inserted: 1, Unchanged: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// Of two readings of one version the later one counts: the source may change a
// record without moving its version.
func TestLaterReadingWinsTie(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 5), alert("a", 5))
	got := w.commit(incident(1, 5, status("resolved")), alert("a", 5, func(a *store.Alert) { a.IncidentID = ptr(int64(2)) }))
	if want := (store.Counts{Updated: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	w.want(`SELECT status FROM defender.incidents`, "resolved")
	w.want(`SELECT incident_id FROM defender.alerts`, "2")
}

// An alert that is served without its incident stays in the one it was in.
func TestAlertWithoutIncidentStaysInItsOwn(t *testing.T) {
	w := newWorker(t)
	in := func(id *int64) func(*store.Alert) { return func(a *store.Alert) { a.IncidentID = id } }
	w.commit(alert("a", 5, in(ptr(int64(7)))))
	w.commit(alert("a", 6, in(nil), severity("high")))
	w.want(`SELECT incident_id, severity FROM defender.alerts`, "7 high")
	w.want(`SELECT count(*) FROM defender.alert_history WHERE field = 'incident_id'`, "0")
}

func TestDuplicatesInsideCommit(t *testing.T) {
	w := newWorker(t)
	got := w.commit(
		incident(1, 7, comments("newest")), incident(1, 5, comments("old", "old")),
		incident(2, 5, status("first")), incident(2, 5, status("last")),
		alert("a", 5, evidence("old", "old")), alert("a", 6, evidence("newest")), alert("a", 4),
	)
	if want := (store.Counts{Inserted: 3}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	w.want(`SELECT raw->>'v', status FROM defender.incidents ORDER BY incident_id`, "7 active", "5 last")
	w.want(`SELECT comment FROM defender.incident_comments`, "newest")
	w.want(`SELECT raw->>'v' FROM defender.alerts`, "6")
	w.want(`SELECT file_name FROM defender.alert_evidence`, "newest")
}

// Children are replaced as a set, and what stays the same is not written.
func TestChildrenReplacedAsSet(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 1, comments("a", "b", "c")), alert("a", 1, evidence("x", "y", "z"), techniques("T1", "T2")))
	versions := `SELECT evidence_no, xmin::text, ctid::text FROM defender.alert_evidence WHERE evidence_no = 1
		UNION ALL SELECT comment_no, xmin::text, ctid::text FROM defender.incident_comments WHERE comment_no = 1
		UNION ALL SELECT 0, xmin::text, ctid::text FROM defender.alert_techniques WHERE technique = 'T2'`
	before := w.query(versions)
	w.commit(incident(1, 2, comments("a", "B")), alert("a", 2, evidence("x", "Y"), techniques("T2", "T3")))
	w.want(`SELECT comment FROM defender.incident_comments ORDER BY comment_no`, "a", "B")
	w.want(`SELECT file_name FROM defender.alert_evidence ORDER BY evidence_no`, "x", "Y")
	w.want(`SELECT technique FROM defender.alert_techniques ORDER BY 1`, "T2", "T3")
	w.want(versions, before...)
	w.commit(incident(1, 3), alert("a", 3))
	w.want(`SELECT count(*) FROM defender.incident_comments`, "0")
	w.want(`SELECT count(*) FROM defender.alert_evidence`, "0")
	w.want(`SELECT count(*) FROM defender.alert_techniques`, "0")
}

// An alert's incident is what the alert says last, and children of other
// parents stay where they are.
func TestCommitTouchesOnlyItsParents(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 1, comments("one")), incident(2, 1, comments("two")), alert("a", 1, evidence("x")), alert("b", 1, evidence("y"), techniques("T1")))
	w.commit(incident(1, 2), alert("a", 2))
	w.want(`SELECT comment FROM defender.incident_comments`, "two")
	w.want(`SELECT file_name FROM defender.alert_evidence`, "y")
	w.want(`SELECT technique FROM defender.alert_techniques`, "T1")
}

func TestHistory(t *testing.T) {
	w := newWorker(t)
	w.commit(
		incident(1, 1, func(i *store.Incident) { i.CustomTags = []string{"<a>"} }),
		alert("a", 1),
	)
	w.want(`SELECT * FROM defender.incident_history`)
	w.commit(
		incident(1, 2, status("resolved"), func(i *store.Incident) {
			i.CustomTags = []string{"<a>", `b"c`}
			i.RedirectIncidentID = ptr(int64(9))
			i.AssignedTo = ptr("ann@contoso.com")
			i.Description = ptr("not tracked")
		}),
		alert("a", 2, func(a *store.Alert) { a.IncidentID, a.Severity = ptr(int64(9)), nil; a.SystemTags = []string{} }),
	)
	w.want(`SELECT field, old_value, new_value, changed_at = '`+at(2).Format("2006-01-02 15:04Z")+`' FROM defender.incident_history ORDER BY 1`,
		"assigned_to <nil> ann@contoso.com true",
		`custom_tags ["<a>"] ["<a>","b\"c"] true`,
		"redirect_incident_id <nil> 9 true",
		"status active resolved true")
	w.want(`SELECT field, old_value, new_value FROM defender.alert_history`, "incident_id 1 9")
	w.commit(incident(1, 1, status("active"))) // stale: no change
	w.want(`SELECT count(*) FROM defender.incident_history`, "4")
}

// A change that the source makes without moving the version happened when it
// was read; two such within one reading of the clock are one.
func TestHistoryOfUnmovedVersion(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 1))
	for _, s := range []string{"inProgress", "resolved"} {
		w.commit(incident(1, 1, status(s), func(i *store.Incident) { i.SyncedAt = at(30) }))
	}
	w.want(`SELECT old_value, new_value, changed_at = '`+at(30).Format("2006-01-02 15:04Z")+`' FROM defender.incident_history`, "active resolved true")
}

// rowVersions lists every row version of the tables that mirror the tenant.
// xmax is there because a lock that an upsert leaves is a write, too.
const rowVersions = `
	SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.incidents
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.incident_comments
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.alerts
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.alert_evidence
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.alert_techniques
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.incident_history
	UNION ALL SELECT tableoid::regclass::text, ctid::text, xmin::text, xmax::text FROM defender.alert_history
	ORDER BY 1, 2`

// P9: the same records again write no row version, and next to no WAL.
func TestIdleIsFree(t *testing.T) {
	w := newWorker(t)
	var rows []any
	for n := range 200 {
		rows = append(rows, incident(int64(n), 5, comments("c")), alert(fmt.Sprint(n), 5, evidence("x", "y", "z"), techniques("T1")))
	}
	wal := func(f func()) (bytes int64) {
		t.Helper()
		const lsn = `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn`
		var before, after int64
		if err := w.Pool().QueryRow(t.Context(), lsn+`, 0 WHERE true`).Scan(&before, new(int)); err != nil {
			t.Fatal(err)
		}
		f()
		if err := w.Pool().QueryRow(t.Context(), lsn).Scan(&after); err != nil {
			t.Fatal(err)
		}
		return after - before
	}
	first := wal(func() { w.commit(rows...) })
	before := w.query(rowVersions)
	idle := first
	for range 3 { // the least of three: PostgreSQL itself writes now and then
		idle = min(idle, wal(func() {
			if got, want := w.commit(rows...), (store.Counts{Unchanged: 400}); got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
		}))
	}
	w.want(rowVersions, before...)
	t.Logf("WAL: first %d bytes, idle %d bytes", first, idle)
	if idle > 8<<10 || idle > first/20 {
		t.Errorf("an idle commit wrote %d bytes of WAL, the first one %d", idle, first)
	}
}

// The compare-and-swap: whoever comes second with the same checkpoint writes nothing.
func TestCommitConflict(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 5))
	first, second := w.next(), w.next()
	first.Incidents = []store.Incident{incident(2, 15)}
	second.Incidents = []store.Incident{incident(3, 15)}
	w.must(first)
	if _, _, err := w.Store.Commit(t.Context(), second); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("error %v, want ErrConflict", err)
	}
	w.want(`SELECT incident_id FROM defender.incidents ORDER BY 1`, "1", "2")
	second.Checkpoint.Revision = 0 // as if the stream were new
	if _, _, err := w.Store.Commit(t.Context(), second); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("error %v, want ErrConflict", err)
	}
	w.want(`SELECT count(*) FROM defender.incidents`, "2")
}

// Workers that race from the same checkpoint: one wins each round, the others
// learn it and leave no trace.
func TestWorkersRace(t *testing.T) {
	w := newWorker(t)
	const racers, rounds = 4, 10
	for round := range rounds {
		errs := make([]error, racers)
		cps := make([]store.Checkpoint, racers)
		var all sync.WaitGroup
		for n := range racers {
			c := w.next()
			c.Incidents = []store.Incident{incident(int64(round*racers+n), 5), incident(1000, round*racers+n)}
			all.Go(func() { cps[n], _, errs[n] = w.Store.Commit(t.Context(), c) })
		}
		all.Wait()
		won := 0
		for n, err := range errs {
			switch {
			case err == nil:
				won++
				w.cp = cps[n]
			case !errors.Is(err, store.ErrConflict):
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d of %d won", won, racers)
		}
	}
	w.want(`SELECT count(*) FROM defender.incidents`, fmt.Sprint(rounds+1))
	w.want(`SELECT revision, rows FROM sync.checkpoints`, fmt.Sprint(rounds, " ", rounds+1))
}

// Two streams of one worker write the same alerts at the same time: they do
// not deadlock.
func TestStreamsShareAlerts(t *testing.T) {
	w := newWorker(t)
	alerts := workerStream(w, "alerts")
	var both sync.WaitGroup
	for n, s := range []*worker{w, alerts} {
		both.Go(func() {
			for i := 1; i <= 20; i++ {
				v := 2*i + n
				c := s.next()
				c.Alerts = []store.Alert{alert("b", v, severity(fmt.Sprint(v))), alert("a", v, severity(fmt.Sprint(v)))}
				cp, _, err := s.Store.Commit(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				s.cp = cp
			}
		})
	}
	both.Wait()
	w.want(`SELECT severity FROM defender.alerts`, "41", "41")
}

// A commit that meets another of its tenant waits for it before it looks at
// anything: what it takes for the old version is what the other stored.
func TestCommitsOfTenantPassOneByOne(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	w.commit(alert("a", 1, severity("one")))
	other, err := w.Pool().Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback(ctx)
	for _, sql := range []string{
		`SELECT fence FROM sync.leases FOR UPDATE`,
		`UPDATE defender.alerts SET severity = 'two'`,
	} {
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	c := w.next()
	c.Alerts = []store.Alert{alert("a", 3, severity("three"))}
	done := make(chan error, 1)
	go func() { done <- commitErr(w.Store.Commit(ctx, c)) }()
	for w.query(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)[0] == "0" {
		select {
		case err := <-done:
			t.Fatalf("the commit did not wait: %v", err)
		default:
		}
	}
	if err := other.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.want(`SELECT old_value, new_value FROM defender.alert_history`, "two three")
}

func TestWatermarkNeverMovesBack(t *testing.T) {
	w := newWorker(t)
	w.commit()
	c := w.next()
	c.Checkpoint.Watermark = at(3)
	c.Checkpoint.StartTime = at(2)
	c.Checkpoint.ResumePoint = []byte(`{"page": 2}`)
	c.Checkpoint.WindowWidth = 36 * 60 * 60 * 1e9
	c.Checkpoint.PassedAt = at(9)
	w.must(c)
	if !w.cp.Watermark.Equal(at(10)) || !w.cp.StartTime.Equal(t0) {
		t.Errorf("checkpoint %+v", w.cp)
	}
	got, err := w.Store.Checkpoint(t.Context(), tenant, "incidents")
	if err != nil {
		t.Fatal(err)
	}
	if got.WindowWidth != c.Checkpoint.WindowWidth || string(got.ResumePoint) != `{"page": 2}` || !got.PassedAt.Equal(at(9)) || got.Revision != 2 {
		t.Errorf("checkpoint %+v", got)
	}
}

func TestCheckpointOfNewStream(t *testing.T) {
	w := newWorker(t)
	got, err := w.Store.Checkpoint(t.Context(), tenant, "alerts")
	if err != nil || got.Revision != 0 || got.TenantID != tenant || got.Stream != "alerts" {
		t.Errorf("checkpoint %+v, %v", got, err)
	}
}

// What no caller may hand in is refused before anything is sent.
func TestCommitRefuses(t *testing.T) {
	w := newWorker(t)
	for name, spoil := range map[string]func(*store.Commit){
		"lease's tenant": func(c *store.Commit) { c.Lease.TenantID = otherTenant },
		"incident 1 is not of the lease's tenant": func(c *store.Commit) {
			c.Incidents = []store.Incident{incident(1, 1, func(i *store.Incident) { i.TenantID = otherTenant })}
		},
		"alert a is not of the lease's tenant": func(c *store.Commit) {
			c.Alerts = []store.Alert{alert("a", 1, func(a *store.Alert) { a.TenantID = otherTenant })}
		},
		"evidence of alert b": func(c *store.Commit) {
			c.Alerts = []store.Alert{alert("a", 1, evidence("x"), func(a *store.Alert) { a.Evidence[0].AlertID = "b" })}
		},
		"comment of incident 2": func(c *store.Commit) {
			c.Incidents = []store.Incident{incident(1, 1, comments("x"), func(i *store.Incident) { i.CommentRows[0].IncidentID = 2 })}
		},
		"is empty": func(c *store.Commit) { c.Coverage[0].To = c.Coverage[0].From },
	} {
		c := w.next()
		spoil(c)
		if _, _, err := w.Store.Commit(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
	w.want(`SELECT count(*) FROM sync.checkpoints`, "0")
}
