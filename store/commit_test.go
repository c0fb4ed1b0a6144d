package store_test

import (
	"errors"
	"testing"

	"defendersync/store"
)

func TestCommitStores(t *testing.T) {
	w := newWorker(t)
	got := w.commit(
		incident(1, 5, comments("first", "second")),
		incident(2, 6),
		alert("a", 5, evidence("x.exe", "y.dll"), func(a *store.Alert) { a.MitreTechniques = []string{"T1566", "T1059", "T1566"} }),
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
	w.want(`SELECT rows, calls, verdict FROM sync.coverage`, "0 1 complete")
	w.want(`SELECT * FROM sync.gaps`)
}

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
}
