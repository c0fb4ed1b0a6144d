package sync_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"

	"github.com/jackc/pgx/v5"
)

// weeksWitness is in the database itself, so that it sees every commit: versions
// and positions that go back, rows that vanish, and where each transaction ends
// what of a stream's time between start and watermark is in no range of
// sync.coverage, neither as complete nor as a gap.
const weeksWitness = `
	CREATE SCHEMA witness;
	CREATE TABLE witness.wrongs (no bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL);
	CREATE FUNCTION witness.version() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_OP = 'DELETE' THEN
			INSERT INTO witness.wrongs (what) VALUES ('deleted: ' || to_jsonb(OLD)::text);
		ELSIF NEW.last_update_date_time < OLD.last_update_date_time THEN
			INSERT INTO witness.wrongs (what) VALUES (TG_TABLE_NAME || ' went from ' || OLD.last_update_date_time || ' back to ' || NEW.last_update_date_time);
		END IF;
		RETURN NULL;
	END $$;
	CREATE FUNCTION witness.checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		unknown tstzmultirange;
	BEGIN
		IF TG_OP = 'UPDATE' AND (NEW.watermark < OLD.watermark OR NEW.revision <> OLD.revision + 1 OR NEW.start_time > OLD.start_time) THEN
			INSERT INTO witness.wrongs (what) VALUES ('checkpoint went from ' || to_jsonb(OLD)::text || ' to ' || to_jsonb(NEW)::text);
		END IF;
		SELECT tstzmultirange(tstzrange(NEW.start_time, NEW.watermark)) - coalesce(range_agg(tstzrange(from_time, to_time)), '{}')
		INTO unknown
		FROM sync.coverage
		WHERE tenant_id = NEW.tenant_id AND stream = NEW.stream;
		IF NOT isempty(unknown) THEN
			INSERT INTO witness.wrongs (what) VALUES (NEW.stream || ' knows nothing of ' || unknown::text);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER witness AFTER UPDATE OR DELETE ON defender.incidents FOR EACH ROW EXECUTE FUNCTION witness.version();
	CREATE TRIGGER witness AFTER UPDATE OR DELETE ON defender.alerts FOR EACH ROW EXECUTE FUNCTION witness.version();
	CREATE CONSTRAINT TRIGGER witness AFTER INSERT OR UPDATE ON sync.checkpoints DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION witness.checkpoint();`

// checked is how far back a check looks for what is missing: what is older was
// there at an earlier one, and nothing takes it away unseen.
const checked = 12 * time.Hour

// check fails with what does not hold now.
func (w *weeks) check(t *testing.T) {
	t.Helper()
	asked := 0
	for _, tn := range w.tenants {
		asked += tn.wire.asked()
		tn.recent = slices.DeleteFunc(tn.recent, func(s sensed) bool { return s.at.Before(time.Now().Add(-3 * 24 * time.Hour)) })
	}
	if asked == w.asked {
		return // nothing can have changed
	}
	w.asked = asked
	w.checks++
	tx, err := w.db.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	const wrongs = `
		SELECT what FROM witness.wrongs
		UNION ALL
		SELECT 'a dead worker''s run of ' || r.stream || ' is left as running'
		FROM sync.runs AS r JOIN sync.leases AS l USING (tenant_id)
		WHERE r.outcome = 'running' AND r.fence < l.fence
		UNION ALL
		SELECT 'a run of ' || stream || ' failed, and neither the service nor the line to the database did: ' || error
		FROM sync.runs
		WHERE error LIKE '%SQLSTATE%'`
	for _, wrong := range query[struct{ What string }](t, tx, wrongs) {
		t.Error(wrong.What)
	}
	for _, tn := range w.tenants {
		for _, wrong := range tn.wire.take() {
			t.Error(tn.name, wrong)
		}
		places := tn.places(t, tx)
		for _, missing := range tn.missing(t, tx, places) {
			t.Errorf("%s: %s", tn.name, missing)
		}
		for _, p := range places {
			if early := time.Now().Add(-weeksSettle); p.Mark.After(early) && time.Now().After(tn.lied) && p.Stream != snapshotStream {
				t.Errorf("%s: %s vouches for the time up to %s, which has not settled", tn.name, p.Stream, p.Mark.UTC())
			}
		}
	}
}

// place is where a stream stands, and what it knows not to have.
type place struct {
	Stream string
	Next   time.Time // what is before that is not looked for again but by comparing
	Mark   time.Time // its watermark
	Gaps   []span
}

type span struct{ From, To time.Time }

func (p place) excuses(at time.Time) bool {
	return slices.ContainsFunc(p.Gaps, func(s span) bool { return !at.Before(s.From) && at.Before(s.To) })
}

// places are the tenant's streams. What is not to be had is in sync.gaps, or where
// it is one place among others in the quarantine.
func (tn *weeksTenant) places(t *testing.T, db querier) map[string]place {
	t.Helper()
	const points = `
		SELECT c.stream, least(c.next_from, c.watermark), c.watermark, g.from_time, g.to_time
		FROM sync.checkpoints AS c LEFT JOIN (
			SELECT tenant_id, stream, from_time, to_time FROM sync.gaps
			UNION ALL
			SELECT tenant_id, stream, split_part(key, '/', 1)::timestamptz, split_part(split_part(key, '/', 2), '#', 1)::timestamptz
			FROM sync.quarantine WHERE kind = 'response'
		) AS g USING (tenant_id, stream)
		WHERE c.tenant_id = $1`
	all := map[string]place{}
	for _, row := range query[struct {
		Stream     string
		Next, Mark time.Time
		From, To   *time.Time
	}](t, db, points, tn.id()) {
		p := all[row.Stream]
		p.Stream, p.Next, p.Mark = row.Stream, row.Next, row.Mark
		if row.From != nil {
			p.Gaps = append(p.Gaps, span{*row.From, *row.To})
			tn.weeks.gapsSeen++
		}
		all[row.Stream] = p
	}
	return all
}

// missing is what the world had before the place up to where a stream vouches,
// that is neither stored in that version nor flagged.
func (tn *weeksTenant) missing(t *testing.T, db querier, places map[string]place) (found []string) {
	t.Helper()
	lost := func(p place, what string, at time.Time) {
		if cut := at.Truncate(time.Microsecond); cut.Before(p.Next) && !p.excuses(cut) && len(found) < 10 {
			found = append(found, fmt.Sprintf("%s of %s is missing: %s goes on from %s", what, at.UTC().Format(time.RFC3339Nano), p.Stream, p.Next.UTC().Format(time.RFC3339)))
		}
	}
	p := places[defsync.IncidentsStream]
	stored := tn.versions(t, db, p.Next.Add(-checked))
	incidents, alerts := tn.world.Updated(p.Next.Add(-checked), time.Now())
	for id, at := range incidents {
		if !stored[fmt.Sprint(id)].Equal(cut(at)) {
			lost(p, fmt.Sprint("incident ", id), at)
		}
	}
	if tn.opt.dialect == defender.Graph {
		for id, at := range alerts {
			if !stored[id].Equal(cut(at)) {
				lost(places[defsync.AlertsStream], "alert "+id, at)
			}
		}
	}
	for _, h := range tn.opt.hunts {
		if h.Mode == defsync.ModeEvents {
			p := places[defsync.HuntingStream(h.Name)]
			for _, row := range tn.unstored(t, db, h, p.Next) {
				lost(p, "row "+row.serial+" of "+h.Name, row.at)
			}
		}
	}
	return found
}

// versions are the last updates that are stored, by id.
func (tn *weeksTenant) versions(t *testing.T, db querier, since time.Time) map[string]time.Time {
	t.Helper()
	const versions = `
		SELECT incident_id::text, last_update_date_time FROM defender.incidents WHERE tenant_id = $1 AND last_update_date_time >= $2
		UNION ALL
		SELECT alert_id, last_update_date_time FROM defender.alerts WHERE tenant_id = $1 AND last_update_date_time >= $2`
	all := map[string]time.Time{}
	for _, v := range query[struct {
		ID string
		At time.Time
	}](t, db, versions, tn.id(), since.Truncate(time.Microsecond)) {
		all[v.ID] = v.At
	}
	return all
}

// unstored are the rows before until that were visible in time and are not stored.
func (tn *weeksTenant) unstored(t *testing.T, db querier, h *defsync.Hunt, until time.Time) (rows []sensed) {
	t.Helper()
	table := tn.table(h).Name
	name := pgx.Identifier{"hunting", store.SnakeCase(h.Name)}.Sanitize()
	if !value[bool](t, db, `SELECT to_regclass($1) IS NOT NULL`, name) {
		return nil
	}
	have := map[string]bool{}
	for _, s := range query[struct{ Serial string }](t, db, `SELECT `+serials[table]+`::text FROM `+name+` WHERE "timestamp" >= $1`, until.Add(-checked)) {
		have[s.Serial] = true
	}
	for _, s := range tn.recent {
		switch {
		case s.table != table || s.at.Before(until.Add(-checked)) || !s.at.Before(until), s.row.Visible.Sub(s.at) > lateness, h.Table == "" && s.row.Values[4].(int64) <= 0:
		case !have[s.serial]:
			rows = append(rows, s)
		}
	}
	return rows
}

// stateBounds are the most rows that the tables of state may have, however long it
// all goes on: one for each stream or tenant, the ranges of a day in detail and
// what is merged of the time before, the calls of an hour, answers of a snapshot
// under way, an explanation for each hour of 32 days, and what cannot be stored.
var stateBounds = map[string]int64{"checkpoints": 8, "leases": 2, "coverage": 300, "quota": 2 * (200 + 60*8), "hunting_parts": 20, "reconciliations": 3 * 32 * 24,
	"quarantine": 40, "schema_changes": 20}

// measure looks at the size of the state at the end of a day.
func (w *weeks) measure(t *testing.T) {
	t.Helper()
	const sizes = `
		SELECT 'checkpoints', count(*) FROM sync.checkpoints UNION ALL
		SELECT 'leases', count(*) FROM sync.leases UNION ALL
		SELECT 'coverage', count(*) FROM sync.coverage UNION ALL
		SELECT 'quota', count(*) FROM sync.quota UNION ALL
		SELECT 'hunting_parts', count(*) FROM sync.hunting_parts UNION ALL
		SELECT 'quarantine', count(*) FROM sync.quarantine UNION ALL
		SELECT 'reconciliations', count(*) FROM sync.reconciliations UNION ALL
		SELECT 'schema_changes', count(*) FROM sync.schema_changes`
	for _, s := range query[struct {
		Table string
		Rows  int64
	}](t, w.db, sizes) {
		w.peaks[s.Table] = max(w.peaks[s.Table], s.Rows)
		if s.Rows > stateBounds[s.Table] {
			t.Errorf("sync.%s has %d rows, more than %d", s.Table, s.Rows, stateBounds[s.Table])
		}
	}
}

// conclude lets the weather clear up and the world stand still. Two days later and
// after a last pass and comparison the database equals the world, and nothing is
// flagged but what cannot be stored.
func (w *weeks) conclude(t *testing.T) {
	for _, tn := range w.tenants {
		tn.clearUp()
		tn.world.Freeze()
	}
	time.Sleep(44 * time.Hour) // until the latest row is there to be compared
	w.stop()
	w.running = w.newWorker(t)
	var left []string
	for range 20 {
		if left = w.round(t); len(left) == 0 {
			break
		}
		time.Sleep(time.Hour)
	}
	for _, s := range left {
		t.Error(s)
	}
	w.check(t)
	for _, tn := range w.tenants {
		tn.equals(t)
	}
	if n := value[int64](t, w.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`); n > 0 {
		t.Errorf("%d runs are left as running", n)
	}
}

// round is a pass of everything, a comparison and a replay of the quarantine. It
// returns what is still not as it should be.
func (w *weeks) round(t *testing.T) (left []string) {
	t.Helper()
	for _, res := range w.running.Sync(t.Context(), "", nil) {
		if res.Err != nil {
			left = append(left, fmt.Sprintf("%s %s: %v", res.Tenant, res.Stream, res.Err))
		}
	}
	for _, res := range w.running.Reconcile(t.Context(), defsync.ReconcileRequest{}) {
		if n := res.Unexplained(); res.Err != nil || n > 0 && res.Stream != defsync.IncidentsStream {
			left = append(left, fmt.Sprintf("%s %s: %d differ, %v", res.Tenant, res.Stream, n, res.Err))
		}
	}
	rows, err := w.running.store.QuarantineList(t.Context(), store.QuarantineFilter{})
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, row := range rows {
		if row, err = w.running.store.QuarantineGet(t.Context(), row.ID); err != nil {
			t.Fatal(err)
		}
		if isBad(string(row.Payload)) {
			bad++
		} else if got := w.running.Replay(t.Context(), []store.QuarantineRow{row}); !got[0].Stored {
			left = append(left, fmt.Sprintf("%s %s stays in quarantine: %v", row.Kind, row.Key, got[0].Err))
		}
	}
	want := 0
	for _, tn := range w.tenants {
		want += tn.bad
	}
	if bad < want {
		left = append(left, fmt.Sprintf("%d of %d records that cannot be stored are in quarantine", bad, want))
	}
	for _, g := range query[struct {
		Stream   string
		From, To time.Time
		Reason   string
	}](t, w.db, `SELECT stream, from_time, to_time, reason FROM sync.gaps`) {
		left = append(left, fmt.Sprintf("%s has a gap from %s to %s: %s", g.Stream, g.From.UTC(), g.To.UTC(), g.Reason))
	}
	return left
}

// equals compares the tenant's part of the database with its world.
func (tn *weeksTenant) equals(t *testing.T) {
	t.Helper()
	for _, h := range tn.opt.hunts {
		table := tn.table(h)
		table.Name = h.Name
		if h.Mode == defsync.ModeSnapshot {
			sameRows(t, h.Name, tn.vulnerabilitiesNow(t), tn.wanted(h))
			continue
		}
		sameRows(t, h.Name, tn.storedRows(t, table), tn.wanted(h))
	}
	tx, err := tn.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	for _, table := range []string{"incidents", "incident_comments", "alerts", "alert_evidence", "alert_techniques"} {
		// The comparison is with all that there is; the other tenant comes back.
		if _, err := tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica; DELETE FROM defender.`+table+` WHERE tenant_id <> '`+tn.id()+`'`); err != nil {
			t.Fatal(err)
		}
	}
	if diff := tn.difference(t, tx); diff != "" {
		t.Errorf("%s: the database is not the world (-world +database):\n%s", tn.name, strings.TrimSpace(diff[:min(len(diff), 6000)]))
	}
}
