package store_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"defendersync/store"
)

// fill gives every db-tagged field of the row a value of its own, hard ones
// where the type allows, and returns each column's value as PostgreSQL prints it.
func fill(t *testing.T, row any) map[string]string {
	t.Helper()
	want := map[string]string{}
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		column, ok := v.Type().Field(i).Tag.Lookup("db")
		if !ok {
			continue
		}
		n := int64(1000 + i)
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000+i*1000, time.UTC)
		var value reflect.Value
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			value, want[column] = reflect.ValueOf(fmt.Sprint("s", i)), fmt.Sprint("s", i)
		case *string:
			s := fmt.Sprintf("%s {\"a,b\"} \\ 'é' %d", column, i)
			value, want[column] = reflect.ValueOf(&s), s
		case int64:
			value, want[column] = reflect.ValueOf(n), fmt.Sprint(n)
		case *int64:
			value, want[column] = reflect.ValueOf(&n), fmt.Sprint(n)
		case int32:
			value, want[column] = reflect.ValueOf(int32(n)), fmt.Sprint(n)
		case *int32:
			value, want[column] = reflect.ValueOf(ptr(int32(n))), fmt.Sprint(n)
		case time.Time:
			value, want[column] = reflect.ValueOf(at), at.Format("2006-01-02 15:04:05.999999+00")
		case *time.Time:
			value, want[column] = reflect.ValueOf(&at), at.Format("2006-01-02 15:04:05.999999+00")
		case []string:
			list := []string{column, "", `quote " back \ brace {},NULL`, "null"}
			value, want[column] = reflect.ValueOf(list), strings.Join(list, "|")
		case []byte:
			value, want[column] = reflect.ValueOf(fmt.Appendf(nil, `{"n": %d}`, i)), fmt.Sprintf(`{"n": %d}`, i)
		case [16]byte:
			value, want[column] = reflect.ValueOf([16]byte{15: byte(i)}), fmt.Sprintf("00000000-0000-0000-0000-0000000000%02x", i)
		default:
			t.Fatalf("column %s has a type that the test does not know", column)
		}
		v.Field(i).Set(value)
	}
	return want
}

// wantColumns compares the one row of a table with what fill promised.
func (w *worker) wantColumns(table string, want map[string]string) {
	w.t.Helper()
	got := map[string]string{}
	for column := range want {
		value := column + "::text"
		if len(w.query(`SELECT 1 FROM information_schema.columns WHERE format('%s.%s', table_schema, table_name) = $1 AND column_name = $2 AND data_type = 'ARRAY'`, table, column)) > 0 {
			value = "array_to_string(" + column + ", '|')"
		}
		got[column] = strings.Join(w.query(`SELECT `+value+` FROM `+table), "\n")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", table, diff)
	}
	var columns int
	if err := w.Pool().QueryRow(w.t.Context(), `SELECT count(*) FROM information_schema.columns
		WHERE format('%s.%s', table_schema, table_name) = $1 AND column_name <> 'first_synced_at' AND column_name NOT LIKE '%\_before\_sync\_%'`, table).Scan(&columns); err != nil {
		w.t.Fatal(err)
	}
	if columns != len(want) {
		w.t.Errorf("%s has %d columns, its row type %d", table, columns, len(want))
	}
}

// Every field lands in its own column, when a row is new and when it changes.
func TestColumns(t *testing.T) {
	w := newWorker(t)
	var i store.Incident
	var a store.Alert
	comment, piece := store.Comment{}, store.Evidence{}
	wantIncident, wantAlert, wantComment, wantPiece := fill(t, &i), fill(t, &a), fill(t, &comment), fill(t, &piece)
	i.TenantID, a.TenantID, comment.TenantID, piece.TenantID = tenant, tenant, tenant, tenant
	comment.IncidentID, piece.AlertID = i.IncidentID, a.AlertID
	for _, want := range []map[string]string{wantIncident, wantAlert, wantComment, wantPiece} {
		want["tenant_id"] = tenant
	}
	wantComment["incident_id"], wantPiece["alert_id"] = wantIncident["incident_id"], wantAlert["alert_id"]

	i.CommentRows, a.Evidence = []store.Comment{comment}, []store.Evidence{piece}
	// Evidence and comments count from 1, and a set is as large as its last number.
	i.CommentRows[0].CommentNo, wantComment["comment_no"] = 1, "1"
	a.Evidence[0].EvidenceNo, wantPiece["evidence_no"] = 1, "1"

	sparse := store.Evidence{TenantID: tenant, AlertID: a.AlertID, EvidenceNo: 1, EvidenceType: "x", Raw: []byte("{}")}
	older := store.Incident{TenantID: tenant, IncidentID: i.IncidentID, Raw: []byte("{}"), CommentRows: []store.Comment{{TenantID: tenant, IncidentID: i.IncidentID, CommentNo: 1}}}
	olderAlert := store.Alert{TenantID: tenant, AlertID: a.AlertID, Raw: []byte("{}"), Evidence: []store.Evidence{sparse}}
	check := func() {
		t.Helper()
		w.wantColumns("defender.incidents", wantIncident)
		w.wantColumns("defender.alerts", wantAlert)
		w.wantColumns("defender.incident_comments", wantComment)
		w.wantColumns("defender.alert_evidence", wantPiece)
	}
	w.commit(older, olderAlert)
	w.commit(i, a)
	check()
	if _, err := w.Pool().Exec(t.Context(), `TRUNCATE defender.incidents, defender.alerts, defender.incident_comments, defender.alert_evidence`); err != nil {
		t.Fatal(err)
	}
	w.commit(i, a)
	check()
}

// NULL is NULL, and an empty list is an empty list.
func TestNulls(t *testing.T) {
	w := newWorker(t)
	w.commit(store.Incident{TenantID: tenant, IncidentID: 1, SystemTags: []string{}, Raw: []byte("{}"), Comments: []byte("[]")})
	w.want(`SELECT display_name IS NULL, custom_tags IS NULL, system_tags = '{}', comments::text, created_date_time IS NULL, priority_score IS NULL
		FROM defender.incidents`, "true true true [] true true")
}
