package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"defendersync/store"
)

// hours returns what HuntHours counts, as text.
func (h *hunter) hours(from, to time.Time) []string {
	h.t.Helper()
	counts, err := h.HuntHours(h.t.Context(), h.spec, from, to)
	if err != nil {
		h.t.Fatal(err)
	}
	all := []string{}
	for _, c := range counts {
		all = append(all, fmt.Sprint(c.Hour.Format("15:04 "), c.Rows))
	}
	return all
}

func TestHuntHours(t *testing.T) {
	h := newHunter(t, device)
	if got := h.hours(at(0), at(600)); len(got) > 0 {
		t.Errorf("without a table: %q", got)
	}
	h.answer(deviceColumns, event(0, "1", "a"), event(3599, "2", "a"), event(3600, "3", "a"), event(3*3600, "4", "a"), row{"Timestamp": `"never"`, "ReportId": "5"})
	if diff := cmp.Diff([]string{"00:00 2", "01:00 1"}, h.hours(at(0), at(180))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"00:00 1", "01:00 1", "03:00 1"}, h.hours(at(1), at(181))); diff != "" {
		t.Error(diff)
	}
	other := h.spec
	other.TenantID = otherTenant
	if n, err := h.HuntHours(t.Context(), other, at(0), at(600)); len(n) > 0 || err != nil {
		t.Errorf("another tenant has %v, %v", n, err)
	}
	spec := device
	spec.Name, spec.Mode, spec.Key, spec.KeyOnly = "Snap", store.HuntSnapshot, []string{"DeviceId"}, true
	snap := hunterOn(h.worker, spec)
	snap.answer(deviceColumns, event(0, "1", "a"))
	snap.answer(deviceColumns, event(3600, "1", "b"))
	if diff := cmp.Diff([]string{"01:00 1"}, snap.hours(at(0), at(600))); diff != "" {
		t.Error(diff)
	}
}

func TestHuntRetain(t *testing.T) {
	retain := func(h *hunter, before time.Time) int64 {
		h.t.Helper()
		n, err := h.HuntRetain(t.Context(), h.lease, h.spec, before)
		if err != nil {
			h.t.Fatal(err)
		}
		return n
	}
	h := newHunter(t, device)
	if n := retain(h, at(600)); n != 0 {
		t.Errorf("%d removed without a table", n)
	}
	h.thousand(12_000) // 20 minutes
	h.addRow(deviceColumns, row{"Timestamp": `"never"`, "ReportId": "5"})
	h.store()
	if n := retain(h, at(10).Add(time.Millisecond)); n != 6010 {
		t.Errorf("%d removed", n)
	}
	h.want(`SELECT count(*), min("timestamp") FROM hunting.device_events`, "5991 2026-11-01 00:10:01 +0000 UTC")
	if n := retain(h, at(10)); n != 0 {
		t.Errorf("%d removed again", n)
	}
	lost := h.lease
	lost.Fence--
	if _, err := h.HuntRetain(t.Context(), lost, h.spec, at(600)); !errors.Is(err, store.ErrFenced) {
		t.Errorf("without the lease: %v", err)
	}
	// Where keys do not begin with the time, and where there is none.
	for name, spec := range map[string]store.HuntSpec{
		"Newest":   {TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true},
		"Timeless": {Key: []string{"ReportId"}, AutoMigrate: true},
	} {
		spec.Name = name
		k := hunterOn(h.worker, spec)
		k.answer(deviceColumns, event(1, "1", "a"), event(120, "2", "a"))
		want := int64(1)
		if name == "Timeless" {
			want = 0
		}
		if n := retain(k, at(1)); n != want {
			t.Errorf("%s: %d removed", name, n)
		}
		k.exec(`UPDATE hunting.` + store.SnakeCase(name) + ` SET synced_at = '2020-01-01'`)
		if n := retain(k, at(0)); n != 2*(1-want) {
			t.Errorf("%s: %d removed by the time it was stored", name, n)
		}
	}
	snap := hunterOn(h.worker, store.HuntSpec{Name: "Snap", Mode: store.HuntSnapshot, Key: []string{"DeviceId"}, KeyOnly: true, AutoMigrate: true})
	snap.answer(software, installed("d1", "vim", "1"), installed("d2", "vim", "1"))
	snap.answer(software, installed("d1", "vim", "2"), installed("d2", "vim", "1"))
	if n := retain(snap, time.Now().Add(time.Hour)); n != 1 {
		t.Errorf("%d ranges removed", n)
	}
	snap.want(`SELECT device_id, version FROM hunting.snap ORDER BY 1`, "d1 2", "d2 1")
	last := hunterOn(h.worker, store.HuntSpec{Name: "Last", Mode: store.HuntReplace, TimeColumn: "Timestamp", AutoMigrate: true})
	last.answer(deviceColumns, event(1, "1", "a"))
	if n := retain(last, at(600)); n != 0 {
		t.Errorf("%d of a result removed", n)
	}
}

func TestHuntSizeAndStored(t *testing.T) {
	h := newHunter(t, device)
	size := func(name string) (int64, int64) {
		t.Helper()
		rows, bytes, err := h.HuntSize(t.Context(), tenant, name)
		if err != nil {
			t.Fatal(err)
		}
		return rows, bytes
	}
	if rows, bytes := size("DeviceEvents"); rows != 0 || bytes != 0 {
		t.Errorf("without a table: %d rows in %d bytes", rows, bytes)
	}
	h.thousand(1000)
	h.store()
	if rows, bytes := size("DeviceEvents"); rows != 1000 || bytes < 100_000 {
		t.Errorf("%d rows in %d bytes", rows, bytes)
	}
	// Another tenant's rows are not this one's, counted or estimated.
	h.exec(`INSERT INTO hunting.device_events (tenant_id, row_key, row_hash, synced_at)
		SELECT $1, gen_random_uuid(), gen_random_uuid(), now() FROM generate_series(1, 3000)`, otherTenant)
	h.exec(`ANALYZE hunting.device_events`)
	rows, bytes := size("DeviceEvents")
	if _, all := size("DeviceEvents"); rows != 1000 || bytes != all {
		t.Errorf("%d rows in %d bytes", rows, bytes)
	}
	h.exec(`ALTER TABLE hunting.device_events SET (autovacuum_enabled = off)`)
	h.exec(`UPDATE pg_class SET reltuples = 4000000 WHERE oid = 'hunting.device_events'::regclass`)
	if n, err := h.HuntStored(t.Context(), tenant, "DeviceEvents"); err != nil || n < 990_000 || n > 1_010_000 {
		t.Errorf("estimate %d, %v", n, err)
	}
	if n, err := h.HuntStored(t.Context(), run, "DeviceEvents"); err != nil || n != 0 {
		t.Errorf("of no tenant's: %d, %v", n, err)
	}
	snap := hunterOn(h.worker, store.HuntSpec{Name: "Snap", Mode: store.HuntSnapshot, Key: []string{"DeviceId"}, KeyOnly: true, AutoMigrate: true})
	snap.answer(software, installed("d1", "vim", "1"))
	snap.answer(software, installed("d1", "vim", "2"))
	if n, err := h.HuntStored(t.Context(), tenant, "Snap"); err != nil || n != 1 {
		t.Errorf("of ranges: %d, %v", n, err)
	}
}

func TestReconciled(t *testing.T) {
	h := newHunter(t, device)
	save := func(rows ...store.Reconciled) {
		t.Helper()
		if err := h.SaveReconciled(t.Context(), h.lease, "hunting/x", run, rows); err != nil {
			t.Fatal(err)
		}
	}
	known := func() []string {
		t.Helper()
		rows, err := h.Reconciled(t.Context(), tenant, "hunting/x", at(0), at(120))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, r := range rows {
			if r.CheckedAt.IsZero() || r.RunID != run {
				t.Errorf("%+v", r)
			}
			all = append(all, fmt.Sprint(r.Hour.Format("15:04 "), r.SourceRows, " ", r.StoredRows))
		}
		return all
	}
	save(store.Reconciled{Hour: at(60), SourceRows: 5, StoredRows: 4}, store.Reconciled{Hour: at(0), SourceRows: 9, StoredRows: 8}, store.Reconciled{Hour: at(120), SourceRows: 1})
	if diff := cmp.Diff([]string{"00:00 9 8", "01:00 5 4"}, known()); diff != "" {
		t.Error(diff)
	}
	save(store.Reconciled{Hour: at(60), SourceRows: 6, StoredRows: 4}, store.Reconciled{Hour: at(0), SourceRows: 9, StoredRows: 9})
	if diff := cmp.Diff([]string{"01:00 6 4"}, known()); diff != "" {
		t.Error(diff)
	}
	lost := h.lease
	lost.Fence--
	err := h.SaveReconciled(t.Context(), lost, "hunting/x", run, []store.Reconciled{{Hour: at(60), SourceRows: 1}})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("without the lease: %v", err)
	}
	if err := h.ForgetReconciled(t.Context(), lost, "hunting/x", at(90)); !errors.Is(err, store.ErrFenced) {
		t.Errorf("forget without the lease: %v", err)
	}
	if diff := cmp.Diff([]string{"01:00 6 4"}, known()); diff != "" {
		t.Error(diff)
	}
	save(store.Reconciled{Hour: at(0), SourceRows: 9, StoredRows: 8})
	if err := h.ForgetReconciled(t.Context(), h.lease, "hunting/x", at(60)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"01:00 6 4"}, known()); diff != "" {
		t.Error(diff)
	}
}

// Hunting waits apart from the rest, and the longer wait stands.
func TestBlockHunting(t *testing.T) {
	h := newHunter(t, device)
	until := func() time.Time {
		t.Helper()
		at, err := h.HuntingBlockedUntil(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if !until().IsZero() {
		t.Errorf("blocked until %v", until())
	}
	for _, minute := range []int{10, 5} {
		if err := h.BlockHunting(t.Context(), tenant, at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	if !until().Equal(at(10)) {
		t.Errorf("blocked until %v", until())
	}
	if all, err := h.BlockedUntil(t.Context(), tenant); !all.IsZero() || err != nil {
		t.Errorf("the rest is blocked until %v, %v", all, err)
	}
	if at, err := h.HuntingBlockedUntil(t.Context(), otherTenant); !at.IsZero() || err != nil {
		t.Errorf("another tenant is blocked until %v, %v", at, err)
	}
}

// What somebody else made under a table's name is no table of rows, and nobody
// who asks how many there are fails for it.
func TestHuntStoredOfSomethingElse(t *testing.T) {
	h := newHunter(t, store.HuntSpec{AutoMigrate: true})
	h.exec(`CREATE VIEW hunting.seen AS SELECT 1 AS one; CREATE TABLE hunting.made (tenant_id text)`)
	for _, name := range []string{"Seen", "Made"} {
		if n, err := h.HuntStored(t.Context(), tenant, name); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}
