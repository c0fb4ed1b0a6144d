package sync_test

import (
	"strings"
	"testing"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	gocmp "github.com/google/go-cmp/cmp"
)

// Both APIs' hunting leads to the same sightings, of every type of entity, and they
// are what the rows say; reading everything again changes none of them.
func TestHuntingSightingsOfBothDialects(t *testing.T) {
	const all = `SELECT format('%s %s %s %s %s %s %s', day, table_name, entity_type, entity_key, first_seen_at, last_seen_at, properties)
		FROM defender.hunting_sightings ORDER BY tenant_id, day, table_name, entity_type, entity_key`
	const written = `SELECT format('%s %s', (SELECT max(xmin::text::bigint) FROM defender.hunting_sightings), (SELECT max(xmin::text::bigint) FROM defender.entities))`
	tables := []string{"DeviceProcessEvents", "DeviceLogonEvents", "EmailEvents", "AlertEvidence"}
	var of [][]string
	for _, d := range []defender.Dialect{defender.Graph, defender.Older} {
		opt := huntOptions{tables: defendersim.DemoHunting(3, newClock().Now(), 1), cap: 5000}
		opt.dialect = d
		for _, name := range tables {
			opt.hunts = append(opt.hunts, defsync.Hunt{Name: name, Table: name})
		}
		r := newHuntRig(t, opt)
		r.sync(t)
		of = append(of, texts(t, r, all))
		for sql, want := range map[string]int64{
			`SELECT count(DISTINCT entity_type) FROM defender.hunting_sightings`:                            6,
			`SELECT count(DISTINCT table_name) FROM defender.hunting_sightings`:                             int64(len(tables)),
			`SELECT count(*) FROM defender.entities WHERE alert_count > 0 OR hunting_first_seen_at IS NULL`: 0,
		} {
			if got := value[int64](t, r.db, sql); got != want {
				t.Errorf("%s: %s: %d, want %d", d, sql, got, want)
			}
		}
		for table, columns := range map[string]string{
			"device_process_events": "sha256 initiating_process_sha256 md5 initiating_process_sha1", "device_logon_events": "initiating_process_md5",
			"alert_evidence": "sha1 sha256",
		} {
			if got, want := texts(t, r, sightingsOf("hash", table)), texts(t, r, hashesIn(table, columns)); len(want) == 0 || !subset(want, got) {
				t.Errorf("%s: %s: %d hashes and days in the rows, and not all of them are sightings", d, table, len(want))
			}
		}
		before := value[string](t, r.db, written)
		r.exec(t, `UPDATE sync.checkpoints SET watermark = start_time, next_from = start_time`)
		r.exec(t, `DELETE FROM sync.coverage`)
		r.worker = r.newWorker(t, r.store, "second")
		r.sync(t)
		if after := value[string](t, r.db, written); after != before {
			t.Errorf("%s: reading again has written: %s, before %s", d, after, before)
		}
	}
	if diff := gocmp.Diff(of[0], of[1]); diff != "" {
		t.Errorf("the dialects differ (-graph +older):\n%.3000s", diff)
	}
}

// texts returns the one column of the rows.
func texts(t *testing.T, r *rig, sql string) []string {
	t.Helper()
	return value[[]string](t, r.db, `SELECT array_agg(x) FROM (`+sql+`) AS x (x)`)
}

func sightingsOf(kind, table string) string {
	return `SELECT entity_key || ' ' || day FROM defender.hunting_sightings WHERE entity_type = '` + kind + `' AND table_name = '` + table + `' ORDER BY 1`
}

// hashesIn lists what the columns of a table hold, by day.
func hashesIn(table, columns string) string {
	var parts []string
	for c := range strings.FieldsSeq(columns) {
		parts = append(parts, `SELECT lower(`+c+`) || ' ' || (timestamp AT TIME ZONE 'UTC')::date FROM hunting.`+table+` WHERE `+c+` <> ''`)
	}
	return strings.Join(parts, ` UNION `) + ` ORDER BY 1`
}

func subset(part, whole []string) bool {
	has := map[string]bool{}
	for _, s := range whole {
		has[s] = true
	}
	for _, s := range part {
		if !has[s] {
			return false
		}
	}
	return true
}
