package sync_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// hold puts a record in quarantine.
func (r *rig) hold(t testing.TB, stream, kind, key string) {
	t.Helper()
	r.exec(t, `INSERT INTO sync.quarantine (tenant_id, id, stream, kind, key, reason, attempts, payload, first_seen_at, last_attempt_at)
		VALUES ($1, gen_random_uuid(), $2, $3, $4, 'test', 1, '', now(), now())`, r.app.TenantID, stream, kind, key)
}

// replayOne tries the one record that is in quarantine.
func (r *rig) replayOne(t testing.TB) defsync.Replayed {
	t.Helper()
	rows := r.quarantine(t)
	if len(rows) != 1 {
		t.Fatalf("in quarantine: %+v", rows)
	}
	return r.worker.Replay(t.Context(), rows)[0]
}

// never fails unless the record can never be stored, and is kept as it was.
func (r *rig) never(t *testing.T, why string) {
	t.Helper()
	before := r.quarantine(t)
	res := r.replayOne(t)
	if u, ok := errors.AsType[*store.UnstorableError](res.Err); !ok || res.Stored || !strings.Contains(u.Why, why) {
		t.Errorf("a replay ended %+v, want %q", res, why)
	}
	if after := r.quarantine(t); len(after) != 1 {
		t.Fatalf("in quarantine: %+v", after)
	} else if after[0].Attempts != before[0].Attempts || after[0].Reason != before[0].Reason {
		t.Errorf("in quarantine: %+v", after)
	}
}

// A window that takes several answers now leaves the quarantine when all of it
// has been read.
func TestReplayOfAWindowInSeveralAnswers(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(600), hunts: threeHunts()[:1], cap: 100})
	r.sync(t)
	r.exec(t, `DELETE FROM hunting.device_process_events`)
	now := newClock().Now()
	since, until := now.Add(-15*24*time.Hour), now.Add(-5*24*time.Hour)
	r.hold(t, "hunting/device_process_events", "response", since.Format(time.RFC3339Nano)+"/"+until.Format(time.RFC3339Nano))
	if res := r.replayOne(t); !res.Stored {
		t.Errorf("the replay ended %+v", res)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.device_process_events`); n != 300 {
		t.Errorf("%d rows were read, want 300", n)
	}
	if left := r.quarantine(t); len(left) != 0 {
		t.Errorf("still in quarantine: %+v", left)
	}
}

// What cannot be had any more is not asked for, and stays.
func TestReplayOfWhatIsOver(t *testing.T) {
	now := newClock().Now()
	old := now.Add(-40*24*time.Hour).Format(time.RFC3339Nano) + "/" + now.Add(-31*24*time.Hour).Format(time.RFC3339Nano)
	recent := now.Add(-2*time.Hour).Format(time.RFC3339Nano) + "/" + now.Add(-time.Hour).Format(time.RFC3339Nano)
	opt := manyWeaknesses(10, 100)
	opt.tables.AddTable(processTable)
	opt.hunts = append(opt.hunts, threeHunts()[0], defsync.Hunt{Name: "lately", Query: "DeviceProcessEvents\n| where Timestamp > ago(10m)"})
	for _, c := range []struct{ stream, kind, key, why string }{
		{"hunting/device_process_events", "response", old, "nothing from before"},
		{"hunting/lately", "response", recent, "nothing from before"},
		{"hunting/device_process_events", "response", "no window", "not a window"},
		{weaknessStream, "response", recent, "mode snapshot"},
		{weaknessStream, "hunting_row", "", "no row of any table"},
		{"hunting/device_process_events", "hunting_row", "", "no row of any table"},
		{"hunting/gone", "hunting_row", "x", "not in the configuration"},
		{"hunting/gone", "response", recent, "not in the configuration"},
	} {
		r := newHuntRig(t, opt)
		r.hold(t, c.stream, c.kind, c.key)
		r.never(t, c.why)
		if n := r.sim.Calls(); n != 0 {
			t.Errorf("%s of %s: %d requests", c.kind, c.stream, n)
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs`); n != 0 {
			t.Errorf("%s of %s: %d runs", c.kind, c.stream, n)
		}
		if err := r.worker.Discard(t.Context(), r.quarantine(t)[0]); err != nil || len(r.quarantine(t)) != 0 {
			t.Errorf("discarded: %v", err)
		}
	}
}

// A row of events that PostgreSQL refused is stored from its bytes, without a
// request; until then each trial counts.
func TestReplayOfARefusedRow(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(50), hunts: threeHunts()[:1]})
	r.sync(t)
	r.exec(t, `DELETE FROM hunting.device_process_events`)
	r.exec(t, `ALTER TABLE hunting.device_process_events ADD CONSTRAINT poison CHECK (report_id <> 3)`)
	r.exec(t, `UPDATE sync.checkpoints SET next_from = start_time`)
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Quarantined != 1 || res.Inserted != 49 {
		t.Fatalf("the pass ended %+v", res)
	}
	calls := r.sim.Calls()
	if res := r.replayOne(t); res.Stored || !strings.Contains(res.Err.Error(), "poison") {
		t.Errorf("while it is refused: %+v", res)
	}
	if q := r.quarantine(t)[0]; q.Attempts != 2 {
		t.Errorf("%d attempts are recorded, want 2", q.Attempts)
	}
	r.exec(t, `ALTER TABLE hunting.device_process_events DROP CONSTRAINT poison`)
	if res := r.replayOne(t); !res.Stored {
		t.Errorf("when it can be stored: %+v", res)
	}
	if n := r.sim.Calls() - calls; n != 0 || len(r.quarantine(t)) != 0 {
		t.Errorf("%d requests, and %d records in quarantine", n, len(r.quarantine(t)))
	}
	r.huntEqualsSource(t)
	r.rereadAll(t) // and is unchanged when it is served again
}

// Of a result that is read whole the source decides what is in it: it is read
// again, once for all of its rows.
func TestReplayOfRowsOfASnapshot(t *testing.T) {
	opt := manyWeaknesses(50, 100)
	r := newHuntRig(t, opt)
	opt.tables.Replace(weaknessTable.Name)
	r.sync(t)
	r.exec(t, `ALTER TABLE `+weaknesses+` ADD CONSTRAINT poison CHECK (cve_id NOT IN ('CVE-2026-0003', 'CVE-2026-0004', 'CVE-2026-0005'))`)
	rows := []defendersim.HuntRow{weakness(1, 1, "Low"), weakness(1, 3, "Low"), weakness(1, 4, "Low"), weakness(1, 5, "Low")}
	opt.tables.Replace(weaknessTable.Name, rows...)
	r.clock.advance(time.Minute)
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Quarantined != 3 {
		t.Fatalf("the pass ended %+v", res)
	}
	try := func(stored int) {
		t.Helper()
		r.worker = r.newWorker(t, r.store, "first") // as each command has its own
		r.clock.advance(time.Minute)
		calls, n := len(r.huntCalls(0)), 0
		for _, res := range r.worker.Replay(t.Context(), r.quarantine(t)) {
			if _, never := errors.AsType[*store.UnstorableError](res.Err); res.Stored {
				n++
			} else if !never {
				t.Errorf("the replay ended %+v", res)
			}
		}
		if calls = len(r.huntCalls(0)) - calls; n != stored || calls != 2 {
			t.Errorf("%d rows stored in %d requests, want %d in a count and an answer", n, calls, stored)
		}
	}
	try(0)
	opt.tables.Replace(weaknessTable.Name, rows[:3]...)
	r.exec(t, `ALTER TABLE `+weaknesses+` DROP CONSTRAINT poison`)
	try(2)
	r.huntEqualsSource(t)
	if left := r.quarantine(t); len(left) != 1 || !strings.Contains(string(left[0].Payload), "CVE-2026-0005") {
		t.Errorf("in quarantine: %+v, want the row that is not served any more", left)
	}
}
