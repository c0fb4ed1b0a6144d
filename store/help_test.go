package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"defendersync/store"
	"defendersync/store/storetest"
)

const (
	tenant      = "11111111-1111-4111-8111-111111111111"
	otherTenant = "22222222-2222-4222-8222-222222222222"
	run         = "01900000-0000-7000-8000-000000000001"
	ttl         = 15 * time.Second
)

// t0 is when the tests' streams begin.
var t0 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// at returns a minute of the tests' time.
func at(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }

func ptr[T any](v T) *T { return &v }

// worker is one worker's view of one stream: its lease, and its checkpoint as
// last stored.
type worker struct {
	*store.Store
	t     testing.TB
	lease store.Lease
	cp    store.Checkpoint
}

// newWorker takes the tenant on a fresh database.
func newWorker(t testing.TB) *worker {
	t.Helper()
	return workerOn(t, storetest.New(t))
}

func workerOn(t testing.TB, s *store.Store) *worker {
	t.Helper()
	lease, err := s.Acquire(t.Context(), tenant, "worker", ttl)
	if err != nil {
		t.Fatal(err)
	}
	cp := store.Checkpoint{TenantID: tenant, Stream: "incidents", StartTime: t0, Watermark: t0, NextFrom: t0}
	return &worker{Store: s, t: t, lease: lease, cp: cp}
}

// workerStream is the same worker on another stream.
func workerStream(w *worker, stream string) *worker {
	other := *w
	other.cp = store.Checkpoint{TenantID: tenant, Stream: stream, StartTime: t0, Watermark: t0, NextFrom: t0}
	return &other
}

// next returns a commit that moves the watermark by ten minutes; the minutes
// moved over are complete.
func (w *worker) next() *store.Commit {
	cp := w.cp
	cp.Watermark = cp.Watermark.Add(10 * time.Minute)
	cp.NextFrom = cp.Watermark
	return &store.Commit{
		Lease: w.lease, RunID: run, Checkpoint: cp,
		Coverage: []store.Coverage{{From: w.cp.Watermark, To: cp.Watermark, Calls: 1, Verdict: store.Complete}},
	}
}

// commit stores incidents and alerts with the next checkpoint.
func (w *worker) commit(rows ...any) store.Counts {
	w.t.Helper()
	c := w.next()
	for _, r := range rows {
		switch r := r.(type) {
		case store.Incident:
			c.Incidents = append(c.Incidents, r)
		case store.Alert:
			c.Alerts = append(c.Alerts, r)
		default:
			w.t.Fatalf("commit of a %T", r)
		}
	}
	return w.must(c)
}

func (w *worker) must(c *store.Commit) store.Counts {
	w.t.Helper()
	cp, counts, err := w.Store.Commit(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cp = cp
	return counts
}

// hashes numbers contents: every record made is different from every other.
var hashes atomic.Int64

func newHash() (h [16]byte) {
	copy(h[:], fmt.Sprintf("%016d", hashes.Add(1)))
	return h
}

// incident makes version minute of an incident; change may alter it.
func incident(id int64, minute int, change ...func(*store.Incident)) store.Incident {
	i := store.Incident{
		TenantID: tenant, IncidentID: id, DisplayName: ptr("Phishing"), Status: ptr("active"), Severity: ptr("high"),
		CustomTags: []string{}, LastUpdateDateTime: at(minute), Raw: fmt.Appendf(nil, `{"id":"%d","v":%d}`, id, minute),
		ContentHash: newHash(), SyncedAt: at(minute + 1), Served: []byte("served"),
	}
	for _, f := range change {
		f(&i)
	}
	return i
}

// alert makes version minute of an alert; change may alter it.
func alert(id string, minute int, change ...func(*store.Alert)) store.Alert {
	a := store.Alert{
		TenantID: tenant, AlertID: id, IncidentID: ptr(int64(1)), Title: ptr("Mimikatz"), Status: ptr("new"),
		LastUpdateDateTime: at(minute), Raw: fmt.Appendf(nil, `{"id":%q,"v":%d}`, id, minute),
		ContentHash: newHash(), SyncedAt: at(minute + 1), Served: []byte("served"),
	}
	for _, f := range change {
		f(&a)
	}
	return a
}

// evidence gives an alert one file for each name.
func evidence(names ...string) func(*store.Alert) {
	return func(a *store.Alert) {
		a.Evidence = nil
		for n, name := range names {
			a.Evidence = append(a.Evidence, store.Evidence{
				TenantID: a.TenantID, AlertID: a.AlertID, EvidenceNo: int32(n + 1), EvidenceType: "file", FileName: &name, Raw: []byte(`{}`),
			})
		}
	}
}

// comments gives an incident comments.
func comments(texts ...string) func(*store.Incident) {
	return func(i *store.Incident) {
		i.CommentRows = nil
		for n, text := range texts {
			i.CommentRows = append(i.CommentRows, store.Comment{TenantID: i.TenantID, IncidentID: i.IncidentID, CommentNo: int32(n + 1), Comment: &text})
		}
	}
}

func techniques(list ...string) func(*store.Alert) {
	return func(a *store.Alert) { a.MitreTechniques = list }
}

func status(s string) func(*store.Incident) {
	return func(i *store.Incident) { i.Status = &s }
}

func severity(s string) func(*store.Alert) {
	return func(a *store.Alert) { a.Severity = &s }
}

// query returns the rows of a query, each as one string.
func (w *worker) query(sql string, args ...any) []string {
	w.t.Helper()
	rows, err := w.Pool().Query(w.t.Context(), sql, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	all := []string{}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			w.t.Fatal(err)
		}
		line := ""
		for n, v := range values {
			if n > 0 {
				line += " "
			}
			line += fmt.Sprint(v)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// want compares the rows of a query.
func (w *worker) want(sql string, want ...string) {
	w.t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, w.query(sql)); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}
