package store_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"defendersync/store"
)

// What is private is nowhere in the database in clear, whatever came of it.
func TestHuntPrivacy(t *testing.T) {
	const secret = "secret-person"
	h := newHunter(t, store.HuntSpec{
		TimeColumn: "Timestamp", Key: []string{"AccountUpn", "ReportId"}, Occurrences: true, AutoMigrate: true,
		Drop: []string{"accountsid", "Nowhere"}, Hash: []string{"AccountUpn", "Number", "Detail"},
	})
	cols := columns("Timestamp", "DateTime", "ReportId", "Int64", "AccountSid", "String", "AccountUpn", "String", "Number", "Int64", "Detail", "Object")
	base := func(more row) row {
		r := row{"Timestamp": `"2026-11-01T00:00:01Z"`, "ReportId": "1", "AccountSid": quoted(secret), "AccountUpn": quoted(secret), "Number": "424242424242", "Detail": `{"who":"` + secret + `"}`}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	h.add(cols, base(nil), base(row{"AccountUpn": `""`, "Number": "null", "ReportId": "2"}),
		base(row{"ReportId": "3", "accountupn": quoted(secret), "ACCOUNTSID": quoted(secret), "nowhere": quoted(secret), "Open": `"x"`}))
	h.rows.AddOdd([]byte(`"`+secret+`"`), "no object")
	h.store()
	mac := hmac.New(sha256.New, []byte(tenant))
	mac.Write([]byte(secret))
	digest := hex.EncodeToString(mac.Sum(nil))
	h.want(`SELECT report_id, account_upn, length(number), length(detail), extra::text FROM hunting.device_events ORDER BY report_id`,
		"1 "+digest+" 64 64 <nil>", "2  <nil> 64 <nil>", "3 "+digest+` 64 64 {"Open": "x", "accountupn": "`+digest+`"}`)
	h.want(`SELECT count(*) FROM sync.hunting_columns WHERE served_name ILIKE 'AccountSid'`, "0")
	// A column that was made before it was private holds the digest, or nothing.
	h.exec(`ALTER TABLE hunting.device_events ALTER number TYPE bigint USING NULL`)
	h.exec(`UPDATE sync.hunting_columns SET type = 'bigint' WHERE column_name = 'number'`)
	again := hunterOn(h.worker, h.spec)
	again.cp = h.cp
	again.answer(cols, base(row{"ReportId": "4"}))
	h.cp = again.cp
	h.want(`SELECT number IS NULL, length(extra->>'Number') FROM hunting.device_events WHERE report_id = 4`, "true 64")
	// Refused rows, too.
	h.exec(`ALTER TABLE hunting.device_events ADD CHECK (report_id <> 5)`)
	h.answer(cols, base(row{"ReportId": "5"}))
	h.want(`SELECT count(*) FROM sync.quarantine`, "2")
	for _, table := range []string{"hunting.device_events", "sync.quarantine", "sync.schema_changes", "sync.hunting_columns", "sync.runs"} {
		for _, line := range h.query(`SELECT x::text FROM ` + table + ` AS x`) {
			for _, clear := range []string{secret, "424242424242", hex.EncodeToString([]byte(secret)), hex.EncodeToString([]byte("424242424242"))} {
				if strings.Contains(line, clear) {
					t.Errorf("%s holds %s: %s", table, clear, line)
				}
			}
		}
	}
}

// Another tenant's digest of the same person is another.
func TestHuntPseudonymIsTheTenants(t *testing.T) {
	w := newWorker(t)
	spec := store.HuntSpec{Key: []string{"AccountUpn"}, Hash: []string{"AccountUpn"}, AutoMigrate: true}
	hunterOn(w, spec).answer(columns("AccountUpn", "String"), row{"AccountUpn": `"p"`})
	lease, err := w.Acquire(t.Context(), otherTenant, "worker", ttl)
	if err != nil {
		t.Fatal(err)
	}
	other := *w
	other.lease = lease
	hunterOn(&other, spec).answer(columns("AccountUpn", "String"), row{"AccountUpn": `"p"`})
	w.want(`SELECT count(DISTINCT account_upn), count(*) FROM hunting.device_events`, "2 2")
}

// Rows of another tenant than the lease's, and rows together with incidents, are
// a mistake of the caller's.
func TestHuntCommitIsChecked(t *testing.T) {
	h := newHunter(t, device)
	spec := h.spec
	spec.TenantID = otherTenant
	c := h.next()
	c.Hunt = h.NewHuntRows(spec)
	if _, _, err := h.Store.Commit(t.Context(), c); err == nil {
		t.Error("another tenant's rows are taken")
	}
	c.Hunt, c.Incidents = h.rows, []store.Incident{incident(1, 1)}
	if _, _, err := h.Store.Commit(t.Context(), c); err == nil {
		t.Error("incidents are taken together with hunting rows")
	}
	for _, mode := range []store.HuntMode{store.HuntReplace, store.HuntSnapshot} {
		spec := h.spec
		spec.Mode, spec.Name = mode, string(mode)
		c := h.next()
		c.Hunt = h.NewHuntRows(spec)
		if _, _, err := h.Store.Commit(t.Context(), c); err == nil || errors.Is(err, store.ErrFenced) {
			t.Errorf("%s without an answer: %v", mode, err)
		}
	}
}
