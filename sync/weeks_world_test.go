package sync_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// script is one hunting stream of the simulation.
type script struct {
	hunt           defsync.Hunt
	cron, compared string // when it is read, and compared with the source
}

// The snapshot, which is of the time at which it is read.
const (
	vulnerabilities = "DeviceTvmSoftwareVulnerabilities"
	snapshotStream  = "hunting/device_tvm_software_vulnerabilities"
)

// mails is a query of the user's own, which ends in a comment.
const mails = `EmailEvents
| where EmailClusterId > 0 // and nothing after`

// script is what the tenant hunts: over Graph a table with a key, one without, a
// query and a snapshot, over the older API a table whose rows change.
func (tn *weeksTenant) script() []script {
	if tn.opt.dialect == defender.Older {
		return []script{{defsync.Hunt{Name: mailTable.Name, Table: mailTable.Name}, "CRON_TZ=Europe/Berlin 20 1-23/6 * * *", "40 4 * * *"}}
	}
	return []script{
		{defsync.Hunt{Name: processTable.Name, Table: processTable.Name}, "13 */5 * * *", "17 3 * * *"},
		{defsync.Hunt{Name: evidenceTable.Name, Table: evidenceTable.Name}, "43 */6 * * *", "@every 23h"},
		{defsync.Hunt{Name: "mails", Query: mails, Mode: defsync.ModeEvents}, "@every 5h30m", ""},
		{defsync.Hunt{Name: vulnerabilities, Table: vulnerabilities}, "5 4 * * *", ""},
	}
}

// table is the source that a stream reads.
func (tn *weeksTenant) table(h *defsync.Hunt) defendersim.HuntTable {
	if h.Table == "" {
		return mailTable
	}
	return tn.tables.Table(h.Table)
}

// newTables makes the tables, with the rows of a day.
func (tn *weeksTenant) newTables(rnd *rand.Rand) {
	for _, table := range []defendersim.HuntTable{processTable, evidenceTable, mailTable} {
		tn.tables.AddTable(table)
	}
	tn.tables.AddTable(defendersim.HuntTable{Name: vulnerabilities, Columns: []defendersim.HuntColumn{
		{Name: "DeviceId", Type: "string"}, {Name: "SoftwareVendor", Type: "string"}, {Name: "SoftwareName", Type: "string"},
		{Name: "SoftwareVersion", Type: "string"}, {Name: "CveId", Type: "string"}, {Name: "VulnerabilitySeverityLevel", Type: "string"}}})
	for n := range 96 {
		tn.rowsOf(rnd, time.Now().Add(-time.Duration(n)*quarterHour))
	}
	tn.scanDevices(rnd)
}

// newRows adds what the sensors saw in the quarter of an hour that has ended.
func (tn *weeksTenant) newRows(rnd *rand.Rand, n int) {
	tn.rowsOf(rnd, time.Now())
	if n%96 == 7 {
		tn.scanDevices(rnd)
	}
}

// rowsOf adds rows of the quarter of an hour before end: some late, some twice,
// now and then more in one microsecond than an answer holds.
func (tn *weeksTenant) rowsOf(rnd *rand.Rand, end time.Time) {
	crowd, size := rnd.IntN(3), 0
	if tn.opt.dialect == defender.Graph {
		crowd = rnd.IntN(2) // nothing can slice a query of the user's own
	}
	if rnd.IntN(150) == 0 {
		size = weeksHuntCap + rnd.IntN(2*weeksHuntCap)
	}
	at := end.Add(-time.Duration(rnd.Int64N(int64(quarterHour)))).Truncate(time.Microsecond)
	for i, table := range []defendersim.HuntTable{processTable, evidenceTable, mailTable} {
		var rows []defendersim.HuntRow
		for range rnd.IntN(4) {
			rows = append(rows, tn.row(rnd, i, end.Add(-time.Duration(rnd.Int64N(int64(quarterHour))))))
		}
		for range size {
			if i == crowd {
				rows = append(rows, tn.row(rnd, i, at))
			}
		}
		if len(rows) > 0 && rnd.IntN(6) == 0 {
			rows = append(rows, rows[0]) // an exact duplicate: a key folds it, a table without one has it twice
		}
		for _, row := range rows {
			tn.recent = append(tn.recent, sensed{table.Name, serialOf(table.Name, row), time.Unix(0, row.Ticks*100), row})
		}
		tn.tables.AddRows(table.Name, rows...)
	}
}

// sensed is a row that was added not long ago.
type sensed struct {
	table, serial string
	at            time.Time
	row           defendersim.HuntRow
}

// row is one row of a table. The serial number in it tells it from all others.
func (tn *weeksTenant) row(rnd *rand.Rand, table int, at time.Time) defendersim.HuntRow {
	tn.serial++
	row := defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(at))}
	switch late := rnd.IntN(100); {
	case late < 15:
		row.Visible = at.Add(time.Duration(rnd.Int64N(int64(lateness))))
	case late == 99 && table != 2: // which nothing compares with a query of the user's own
		row.Visible = at.Add(2*time.Hour + time.Duration(rnd.Int64N(int64(40*time.Hour))))
	}
	word := pick(rnd, "", "cmd.exe", "a\x00b", "ünï", `q"uo\te`, "zwei\nZeilen", "\u2028")
	switch table {
	case 0:
		row.Values = []any{nil, fmt.Sprintf("dev%d", rnd.IntN(9)), word, word, int64(1)<<53 + tn.serial, word, rnd.Int64(), fmt.Sprint(rnd.Int64()),
			tn.serial%3 == 0, int64(rnd.Int32()), json.RawMessage(fmt.Sprintf(`{"n":%d,"s":["x",null]}`, tn.serial)), tn.serial}
	case 1:
		row.Values = []any{nil, fmt.Sprintf("da%d", tn.serial), pick(rnd, "File", "Ip", "User"), "abab", int64(rnd.IntN(3)), float64(rnd.IntN(5)) / 4, "1.02:03:04.5000000"}
	default:
		row.Values = []any{nil, guidOf(rnd), fmt.Sprintf("u%d@contoso.com", rnd.IntN(30)), word, rnd.Int64() - rnd.Int64(), "12345678901234567890.25", fmt.Sprintf("r%d", tn.serial)}
	}
	return row
}

// serials is the column of a table that holds the serial number.
var serials = map[string]string{processTable.Name: "report_id", evidenceTable.Name: "alert_id", mailTable.Name: "report_id"}

// serialOf is the serial number of a row as that column has it.
func serialOf(table string, row defendersim.HuntRow) string {
	if table == evidenceTable.Name {
		return fmt.Sprint(row.Values[1])
	}
	return fmt.Sprint(row.Values[len(row.Values)-1])
}

// scanDevices is the daily edition of the table of vulnerabilities.
func (tn *weeksTenant) scanDevices(rnd *rand.Rand) {
	var rows []defendersim.HuntRow
	for dev := range 12 {
		for cve := range 25 {
			if rnd.IntN(20) > 0 {
				rows = append(rows, defendersim.HuntRow{Values: []any{fmt.Sprintf("dev%d", dev), "contoso", "app", "1.0",
					fmt.Sprintf("CVE-2026-%d", 1000+cve), pick(rnd, "High", "High", "High", "Low")}})
			}
		}
	}
	tn.tables.Replace(vulnerabilities, rows...)
}

// upset does to the world what happens to few: a tie wider than a page, an
// incident whose alerts make every answer fail for a while, a record that no
// table can hold.
func (tn *weeksTenant) upset(rnd *rand.Rand) {
	switch rnd.IntN(250) {
	case 0:
		var ids []int64
		for _, in := range tn.world.Incidents() {
			if in.Status != "redirected" {
				ids = append(ids, in.ID)
			}
		}
		ids = ids[max(0, len(ids)-60):]
		_, _ = tn.world.Tied(ids...) // the ids are the world's own
	case 1:
		all := tn.world.Incidents()
		id := fmt.Sprint(all[len(all)-1-rnd.IntN(min(len(all), 10))].ID)
		tn.sim.Poison(id, rnd.IntN(2) == 0)
		tn.weather.last("poison "+id, time.Duration(1+rnd.IntN(30))*time.Hour, func() { tn.sim.Heal(id) })
	case 2, 3:
		if tn.bad < 5 {
			tn.bad++
			now := time.Now()
			raw := fmt.Sprintf(`{"displayName":"weeks-bad-%d","lastUpdateDateTime":"%%s"}`, tn.bad)
			tn.sim.Add(listOf(tn.opt.dialect), now, badRecord{raw: raw}.bytes(tn.opt.dialect, now))
		}
	}
}

// wanted are the rows that a stream's table should hold in the end.
func (tn *weeksTenant) wanted(h *defsync.Hunt) []string {
	table := tn.table(h)
	var want []string
	for _, row := range tn.tables.Rows(table.Name, time.Now()) {
		if h.Table != "" || row.Values[4].(int64) > 0 {
			want = append(want, canonical(table, row))
		}
	}
	slices.Sort(want)
	if len(h.Key) > 0 || h.Table == "" {
		want = slices.Compact(want)
	}
	return want
}

// vulnerabilitiesNow are the rows of the snapshot that are valid, as the
// source's are written by wanted.
func (tn *weeksTenant) vulnerabilitiesNow(t *testing.T) []string {
	t.Helper()
	const valid = `
		SELECT concat('DeviceId=', device_id, '|SoftwareVendor=', software_vendor, '|SoftwareName=', software_name, '|SoftwareVersion=', software_version,
			'|CveId=', cve_id, '|VulnerabilitySeverityLevel=', vulnerability_severity_level, '|')
		FROM hunting.device_tvm_software_vulnerabilities
		WHERE valid_to IS NULL`
	var all []string
	for _, s := range query[struct{ Row string }](t, tn.db, valid) {
		all = append(all, s.Row)
	}
	slices.Sort(all)
	return all
}

// isBad says whether a payload in quarantine is one of the records that can
// never be stored.
func isBad(payload string) bool { return strings.Contains(payload, "weeks-bad-") }
