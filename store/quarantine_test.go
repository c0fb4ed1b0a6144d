package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
)

// A record that PostgreSQL refuses goes to quarantine, wherever it stands; the
// rest of the commit is stored.
func TestRefusedRecordsAreIsolated(t *testing.T) {
	bad := func(id int64) store.Incident {
		return incident(id, 5, func(i *store.Incident) { i.DisplayName, i.Served = ptr("a\x00b"), []byte("a\x00b") })
	}
	badAlert := alert("bad", 5, evidence("x"), func(a *store.Alert) { a.Evidence[0].Raw = []byte(`{`) })
	longKey := alert("long"+randomText(9000), 5)
	w := newWorker(t)
	c := w.next()
	for id := range int64(10) {
		c.Incidents = append(c.Incidents, incident(id, 5, comments("c")))
	}
	c.Incidents[0], c.Incidents[7] = bad(0), bad(7)
	c.Alerts = []store.Alert{alert("a", 5, evidence("x")), badAlert, longKey, alert("z", 5, evidence("y"))}
	c.Resolved = []store.QuarantineKey{{Kind: "incident", Key: "0"}, {Kind: "alert", Key: "a"}}
	if got, want := w.must(c), (store.Counts{Inserted: 10}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	w.want(`SELECT count(*) FROM defender.incidents`, "8")
	w.want(`SELECT count(*) FROM defender.incident_comments`, "8")
	w.want(`SELECT alert_id FROM defender.alerts ORDER BY 1`, "a", "z")
	w.want(`SELECT count(*) FROM defender.alert_evidence`, "2")
	w.want(`SELECT kind, left(key, 4), attempts, encode(payload, 'hex') FROM sync.quarantine ORDER BY 1, 2`,
		"alert bad 1 736572766564", "alert long 1 736572766564", "incident 0 1 610062", "incident 7 1 610062")
	w.want(`SELECT rows FROM sync.checkpoints`, "10")

	versions := `SELECT ctid::text, xmin::text, attempts FROM sync.quarantine ORDER BY 1`
	before := w.query(versions)
	c.Checkpoint = w.next().Checkpoint
	if got, want := w.must(c), (store.Counts{Unchanged: 10}); got != want {
		t.Errorf("again: counts %+v, want %+v", got, want)
	}
	w.want(versions, before...)
}

// randomText is n bytes that do not compress.
func randomText(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// A record that needs a column wider than an index can be is stored without it there.
func TestLongValuesStayInRaw(t *testing.T) {
	w := newWorker(t)
	long := randomText(16000)[:16000]
	a := alert("a", 1, evidence("x"), techniques("T1", long))
	for _, s := range []**string{&a.Evidence[0].HostName, &a.Evidence[0].SHA256, &a.Evidence[0].ProcessCommandLine} {
		*s = &long
	}
	if got, want := w.commit(a), (store.Counts{Inserted: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	w.want(`SELECT host_name IS NULL, sha256 IS NULL, length(process_command_line) FROM defender.alert_evidence`, "true true 16000")
	w.want(`SELECT technique FROM defender.alert_techniques`, "T1")
	if a.Evidence[0].HostName == nil {
		t.Error("the caller's row was changed")
	}
}

func TestQuarantine(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	c := w.next()
	c.Quarantine = []store.Quarantined{
		{Kind: "alert", Key: "a", Reason: "no time", Payload: []byte(`{"id":"a"}`)},
		{Kind: "response", Reason: "not JSON", Payload: []byte{0xff, 0}},
		{Kind: "response", Reason: "not JSON", Payload: []byte{0xfe}},
	}
	w.must(c)
	list, err := w.QuarantineList(ctx, store.QuarantineFilter{TenantID: tenant, Stream: "incidents"})
	if err != nil || len(list) != 3 {
		t.Fatalf("list %+v, %v", list, err)
	}
	if n := len(w.mustList(store.QuarantineFilter{Limit: 2})); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if n := len(w.mustList(store.QuarantineFilter{Stream: "alerts"})); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
	first := list[0]
	for _, id := range []string{first.ID, first.ID[:8], strings.ToUpper(first.ID)} {
		got, err := w.QuarantineGet(ctx, id)
		if err != nil || got.ID != first.ID || int64(len(got.Payload)) != first.Size || first.Payload != nil {
			t.Errorf("get %s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "zz", "0%"} {
		if _, err := w.QuarantineGet(ctx, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get %q: error %v, want ErrNotFound", id, err)
		}
	}
	if err := w.QuarantineFailed(ctx, tenant, first.ID, "still no time"); err != nil {
		t.Fatal(err)
	}
	got, err := w.QuarantineGet(ctx, first.ID)
	if err != nil || got.Attempts != 2 || got.Reason != "still no time" || !got.LastAttemptAt.After(first.LastAttemptAt) || got.RunID != run {
		t.Errorf("%+v, %v", got, err)
	}
	if err := w.QuarantineFailed(ctx, otherTenant, first.ID, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	c = w.next()
	c.Resolved = []store.QuarantineKey{{Kind: "alert", Key: "a"}, {Kind: "incident", Key: "a"}}
	w.must(c)
	w.want(`SELECT kind FROM sync.quarantine`, "response", "response")
}

func (w *worker) mustList(f store.QuarantineFilter) []store.QuarantineRow {
	w.t.Helper()
	list, err := w.QuarantineList(w.t.Context(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestQuarantineGetAmbiguous(t *testing.T) {
	w := newWorker(t)
	c := w.next()
	for n := range 40 { // more than there are hexadecimal digits
		c.Quarantine = append(c.Quarantine, store.Quarantined{Kind: "alert", Key: fmt.Sprint(n), Reason: "r"})
	}
	w.must(c)
	list := w.mustList(store.QuarantineFilter{})
	seen := map[string]bool{}
	for _, q := range list {
		if seen[q.ID[:1]] {
			if _, err := w.QuarantineGet(t.Context(), q.ID[:1]); err == nil || !strings.Contains(err.Error(), "more than one") {
				t.Errorf("error %v", err)
			}
			return
		}
		seen[q.ID[:1]] = true
	}
}

// Replayed bytes are old: they never overwrite the same version or a newer one.
func TestReplay(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	c := w.next()
	c.Incidents = []store.Incident{incident(7, 7), incident(8, 5), incident(9, 3)}
	c.Alerts = []store.Alert{alert("newer", 7), alert("same", 5), alert("older", 3)}
	c.Quarantine = []store.Quarantined{{Kind: "incident", Key: "1", Reason: "r"}, {Kind: "incident", Key: "2", Reason: "r"}}
	w.must(c)
	list := w.mustList(store.QuarantineFilter{})
	got, err := w.Replay(ctx, store.Replay{
		Lease: w.lease, ID: list[0].ID,
		Incidents: []store.Incident{incident(1, 5, comments("c")), incident(7, 5, status("replayed")), incident(8, 5, status("replayed")), incident(9, 5, status("replayed"))},
		Alerts:    []store.Alert{alert("newer", 5, severity("replayed")), alert("same", 5, severity("replayed")), alert("older", 5, severity("replayed"))},
	})
	if want := (store.Counts{Inserted: 1, Updated: 2, Unchanged: 4}); err != nil || got != want {
		t.Errorf("counts %+v, %v, want %+v", got, err, want)
	}
	w.want(`SELECT alert_id FROM defender.alerts WHERE severity = 'replayed'`, "older")
	w.want(`SELECT incident_id FROM defender.incidents WHERE status = 'replayed'`, "9")
	w.want(`SELECT count(*) FROM defender.incident_comments`, "1")
	w.want(`SELECT field FROM defender.alert_history`, "severity")
	w.want(`SELECT id::text FROM sync.quarantine`, list[1].ID)

	_, err = w.Replay(ctx, store.Replay{
		Lease: w.lease, ID: list[1].ID,
		Incidents: []store.Incident{incident(2, 5), incident(3, 5, func(i *store.Incident) { i.Status = ptr("\x00") })},
	})
	if err == nil {
		t.Error("what PostgreSQL refuses was replayed")
	}
	w.want(`SELECT incident_id FROM defender.incidents ORDER BY 1`, "1", "7", "8", "9")
	w.want(`SELECT count(*) FROM sync.quarantine`, "1")
}

func TestSchemaChangesOnce(t *testing.T) {
	w := newWorker(t)
	change := store.SchemaChange{Object: "alert", Property: "severity", Change: "unknown_enum_member", Detail: "critical\x00"}
	for range 2 {
		c := w.next()
		c.SchemaChanges = []store.SchemaChange{change, change}
		w.must(c)
	}
	w.want(`SELECT object, property, change, detail FROM sync.schema_changes`, "alert severity unknown_enum_member critical\uFFFD")
}
