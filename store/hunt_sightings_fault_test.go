package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
	"defendersync/store/storetest"
)

// sighted is all that a commit of hunting rows with entities writes.
func (h *hunter) sighted() string {
	var all []string
	for _, table := range []string{"hunting.device_events", "defender.hunting_sightings", "defender.entities", "sync.checkpoints", "sync.coverage"} {
		all = append(all, h.query(`SELECT x::text FROM `+table+` AS x ORDER BY 1`)...)
	}
	return strings.Join(all, "\n")
}

// Cut the wire at every write of a commit, before it lands and after: rows and
// sightings are there together, or neither is, and going on ends in the same place.
func TestHuntSightingsCutAtEveryWrite(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed=%v", landed), func(t *testing.T) {
			reached := true
			for n := int64(0); reached; n++ {
				reached = cutSightings(t, n, landed)
				if !reached && n < 10 {
					t.Errorf("a commit took %d writes only", n)
				}
			}
		})
	}
}

// cutSightings cuts at write n and reports whether there was one.
func cutSightings(t *testing.T, n int64, landed bool) (reached bool) {
	url := storetest.URL(t)
	cut := &cutter{landed: landed}
	cut.left.Store(-1)
	s, err := store.OpenWith(t.Context(), url, cut.wrap)
	if err != nil {
		t.Fatal(err)
	}
	w := workerOn(t, s)
	h := hunterOn(w, logon)
	h.answer(logonColumns, seen(at(5), 1, "SHA256", "known", "DeviceName", "ws-1"))
	store.LimitSights(h.rows, 2) // written in parts
	fill := func(h *hunter) {
		h.add(logonColumns, seen(at(1), 2, "SHA256", "known"), seen(at(2), 3, "SHA256", "new", "DeviceName", "ws-1"), seen(at(1500), 4, "SHA256", "new"))
	}
	fill(h)
	c := h.next()
	c.Hunt = h.rows
	before := h.sighted()
	cut.left.Store(n)
	_, _, failed := s.Commit(t.Context(), c)
	reached = cut.left.Load() < 0
	cut.left.Store(-1)
	s.Close()
	if s, err = store.Open(t.Context(), url, 4); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w.Store, h.Store = s, s
	h.query(`SELECT fence FROM sync.leases FOR UPDATE`) // a commit that landed holds it until it is done
	h.query(`SELECT count(*) FROM defender.hunting_sightings`)
	committed := revision(h) == c.Checkpoint.Revision+1
	switch {
	case failed == nil && !committed:
		t.Fatalf("cut at write %d: reported as stored, but is not", n)
	case !committed && before != h.sighted():
		t.Fatalf("cut at write %d: not stored, and yet something was", n)
	case !committed:
		again := hunterOn(w, logon)
		fill(again)
		c.Hunt = again.rows
		if _, _, err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	h.want(`SELECT entity_key, day::text, to_char(first_seen_at, 'HH24:MI'), to_char(last_seen_at, 'HH24:MI') FROM defender.hunting_sightings ORDER BY 1, 2`,
		"known 2026-11-01 00:01 00:05", "new 2026-11-01 00:02 00:02", "new 2026-11-02 01:00 01:00", "ws-1 2026-11-01 00:02 00:05")
	h.want(hunted, h.query(modelEntities)...)
	return reached
}

// A load of hunting rows that waits for its turn has written no entity yet: what
// it had written would hold up whoever has the turn and names the same.
func TestHuntingEntitiesWaitForTheLease(t *testing.T) {
	w := newWorker(t)
	h := hunterOn(w, logon)
	h.add(logonColumns, seen(at(1), 1, "SHA256", "both"))
	c := h.next()
	c.Hunt = h.rows
	tx, err := h.Store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `SELECT FROM sync.leases FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	go func() {
		_, _, err := h.Store.Commit(t.Context(), c)
		stored <- err
	}()
	for h.query(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)[0] == "0" {
	}
	h.want(`SELECT count(*) FROM pg_locks WHERE relation = 'defender.hunting_sightings'::regclass AND mode = 'RowExclusiveLock'`, "1")
	h.want(`SELECT count(*) FROM pg_locks WHERE relation = 'defender.entities'::regclass AND mode = 'RowExclusiveLock'`, "0")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	h.want(`SELECT entity_key FROM defender.entities`, "both")
}

// A commit of alerts that waits for nothing but its own is not held up by a long
// load of hunting rows that name the same entities.
func TestAlertsDoNotWaitForHuntingEntities(t *testing.T) {
	w := newWorker(t)
	h := hunterOn(w, logon)
	store.LimitSights(h.rows, 1)
	h.add(logonColumns)
	for n := range 5000 {
		h.addRow(logonColumns, seen(at(n/100), n, "SHA256", "both"))
	}
	sha := "both"
	c := h.next()
	c.Hunt = h.rows
	stored := make(chan error)
	go func() {
		_, _, err := h.Store.Commit(t.Context(), c)
		stored <- err
	}()
	for minute := 1; ; minute++ {
		a := alert("a", minute)
		a.Evidence = []store.Evidence{{TenantID: tenant, AlertID: "a", EvidenceNo: 1, EvidenceType: "file", SHA256: &sha, CreatedDateTime: ptr(at(minute)), Raw: []byte(`{}`)}}
		w.commit(a)
		select {
		case err := <-stored:
			if err != nil {
				t.Fatal(err)
			}
			h.want(`SELECT alert_count, hunting_first_seen_at IS NOT NULL FROM defender.entities`, "1 true")
			if n := h.query(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)[0]; n != "0" {
				t.Errorf("%s deadlocks", n)
			}
			return
		default:
		}
	}
}
