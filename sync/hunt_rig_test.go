package sync_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5"
)

// huntOptions differ between tests of hunting; each hunt is one stream.
type huntOptions struct {
	rigOptions
	tables *defendersim.HuntTables
	hunts  []defsync.Hunt
	cap    int // rows in one answer, of the service and of the streams
}

// newHuntRig is a rig whose tenant has hunting tables, and whose worker reads
// nothing else.
func newHuntRig(t testing.TB, opt huntOptions) *rig {
	t.Helper()
	if opt.cap == 0 {
		opt.cap = 1000
	}
	if opt.start == 0 {
		opt.start = 29
	}
	opt.sim.Hunting, opt.sim.HuntCap = opt.tables, opt.cap
	opt.world.Incidents = 1
	for _, h := range opt.hunts {
		h.Cap, h.AutoMigrate = opt.cap, true
		resolved, err := h.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		opt.rigOptions.hunts = append(opt.rigOptions.hunts, resolved)
	}
	return newRig(t, opt.rigOptions)
}

// huntStreams are the streams of the rig's hunts.
func (r *rig) huntStreams(schedule defsync.Schedule, overlap time.Duration) []defsync.Stream {
	var streams []defsync.Stream
	for _, h := range r.opt.hunts {
		streams = append(streams, defsync.Stream{Name: defsync.HuntingStream(h.Name), Schedule: schedule, Hunt: h,
			Start: defsync.Start{Age: time.Duration(r.opt.start) * 24 * time.Hour}, Overlap: overlap, Settle: 2 * time.Minute})
	}
	return streams
}

// huntCalls are the hunting queries that were sent since the record n.
func (r *rig) huntCalls(since int) []defendersim.RequestRecord {
	var all []defendersim.RequestRecord
	for _, q := range r.sim.Requests()[since:] {
		if q.Endpoint == defendersim.Hunting || q.Endpoint == defendersim.OlderHunting {
			all = append(all, q)
		}
	}
	return all
}

// processTable is a table with the documented key of device events.
var processTable = defendersim.HuntTable{Name: "DeviceProcessEvents", Time: "Timestamp", Columns: []defendersim.HuntColumn{
	{Name: "Timestamp", Type: "datetime"}, {Name: "DeviceId", Type: "string"}, {Name: "DeviceName", Type: "string"},
	{Name: "FileName", Type: "string"}, {Name: "FileSize", Type: "long"}, {Name: "ProcessCommandLine", Type: "string"},
	{Name: "LogonId", Type: "long"}, {Name: "LogonID", Type: "string"}, {Name: "IsInitiatedRemotely", Type: "bool"},
	{Name: "ProcessId", Type: "int"}, {Name: "AdditionalFields", Type: "dynamic"}, {Name: "ReportId", Type: "long"},
}}

// evidenceTable has no key: its rows are told apart by all that they say.
var evidenceTable = defendersim.HuntTable{Name: "AlertEvidence", Time: "Timestamp", Columns: []defendersim.HuntColumn{
	{Name: "Timestamp", Type: "datetime"}, {Name: "AlertId", Type: "string"}, {Name: "EntityType", Type: "string"},
	{Name: "SHA256", Type: "string"}, {Name: "FileSize", Type: "long"}, {Name: "Score", Type: "real"}, {Name: "Duration", Type: "timespan"},
}}

// mailTable has times in whole seconds, of which many rows share one.
var mailTable = defendersim.HuntTable{Name: "EmailEvents", Time: "Timestamp", Columns: []defendersim.HuntColumn{
	{Name: "Timestamp", Type: "datetime"}, {Name: "NetworkMessageId", Type: "guid"}, {Name: "RecipientEmailAddress", Type: "string"},
	{Name: "Subject", Type: "string"}, {Name: "EmailClusterId", Type: "long"}, {Name: "Weight", Type: "decimal"}, {Name: "ReportId", Type: "string"},
}}

// fill adds n rows to each of the three tables, up to end: crowds, ties,
// duplicates, NULs, big integers. It is the same for the same seed.
func fill(tables *defendersim.HuntTables, seed uint64, n int, end time.Time) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	at := func(days float64) int64 {
		return int64(defendersim.TicksOf(end.Add(-time.Duration(rnd.Float64() * days * 24 * float64(time.Hour)))))
	}
	word := func() string {
		return []string{"", "cmd.exe", "a\x00b", "ünï", `q"uo\te`, "zwei\nZeilen", "\u2028"}[rnd.IntN(7)]
	}
	burst := at(20) / 10 * 10
	var rows []defendersim.HuntRow
	for i := range n {
		ticks := at(28)
		if i%5 == 0 {
			ticks = burst + int64(rnd.IntN(40)) // within four microseconds
		}
		var extra any = json.RawMessage(fmt.Sprintf(`{"n":%d,"s":["x",null]}`, i))
		if i%7 == 0 {
			extra = nil
		}
		row := defendersim.HuntRow{Ticks: ticks, Values: []any{nil, fmt.Sprintf("dev%d", rnd.IntN(9)), word(), word(), int64(1)<<53 + int64(i),
			word(), rnd.Int64(), fmt.Sprint(rnd.Int64()), i%3 == 0, int64(rnd.Int32()), extra, int64(i)}}
		if rows = append(rows, row); i%50 == 0 {
			rows = append(rows, row) // an exact duplicate, which the key folds
		}
	}
	tables.AddTable(processTable)
	tables.AddRows(processTable.Name, rows...)

	rows = nil
	for i := range n {
		ticks := at(28)
		if i%4 == 0 {
			ticks = burst
		}
		row := defendersim.HuntRow{Ticks: ticks, Values: []any{nil, fmt.Sprintf("da%d", rnd.IntN(40)), []string{"File", "Ip", "User"}[rnd.IntN(3)],
			strings.Repeat("ab", 4), int64(rnd.IntN(3)), float64(rnd.IntN(5)) / 4, "1.02:03:04.5000000"}}
		rows = append(rows, row)
		for range rnd.IntN(3) {
			rows = append(rows, row)
		}
	}
	tables.AddTable(evidenceTable)
	tables.AddRows(evidenceTable.Name, rows...)

	rows = nil
	for i := range n {
		ticks := at(28) / 10_000_000 * 10_000_000
		if i%3 == 0 {
			ticks = burst / 10_000_000 * 10_000_000 // a third of all mail in one second
		}
		rows = append(rows, defendersim.HuntRow{Ticks: ticks, Values: []any{nil, guidOf(rnd), fmt.Sprintf("u%d@contoso.com", rnd.IntN(30)), word(),
			rnd.Int64() - rnd.Int64(), "12345678901234567890.25", fmt.Sprintf("r%d", i)}})
	}
	tables.AddTable(mailTable)
	tables.AddRows(mailTable.Name, rows...)
}

func guidOf(rnd *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", rnd.Uint32(), rnd.Uint32()&0xffff, rnd.Uint32()&0xfff, rnd.Uint32()&0xfff, rnd.Uint64()&0xffffffffffff)
}

// threeHunts read the tables that fill makes.
func threeHunts() []defsync.Hunt {
	return []defsync.Hunt{{Name: processTable.Name, Table: processTable.Name}, {Name: evidenceTable.Name, Table: evidenceTable.Name},
		{Name: mailTable.Name, Table: mailTable.Name}}
}

// huntEqualsSource compares each table with its source, row by row and value by
// value: what the service would show now, each exact duplicate as often as it is
// there, or once where a key folds it.
func (r *rig) huntEqualsSource(t testing.TB) {
	t.Helper()
	for _, h := range r.opt.hunts {
		table := r.opt.sim.Hunting.Table(h.Table)
		var want []string
		for _, row := range r.opt.sim.Hunting.Rows(h.Table, r.clock.Now()) {
			want = append(want, canonical(table, row))
		}
		slices.Sort(want)
		if len(h.Key) > 0 {
			want = slices.Compact(want)
		}
		sameRows(t, h.Table, r.storedRows(t, table), want)
	}
}

// sameRows fails with the first rows that only one side has.
func sameRows(t testing.TB, table string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, s := range want {
		count[s]++
	}
	for _, s := range got {
		count[s]--
	}
	shown := 0
	for s, n := range count {
		if n != 0 && shown < 5 {
			t.Errorf("%s: %+d at the source: %.300s", table, n, s)
			shown++
		}
	}
	t.Errorf("%s holds %d rows, the source %d", table, len(got), len(want))
}

// canonical writes a row of the source with one spelling for each value.
func canonical(table defendersim.HuntTable, row defendersim.HuntRow) string {
	var b strings.Builder
	for i, c := range table.Columns {
		var v any
		if i < len(row.Values) {
			v = row.Values[i]
		}
		fmt.Fprintf(&b, "%s=%s|", c.Name, spell(c.Type, v))
	}
	return b.String()
}

func spell(kind string, v any) string {
	switch v := v.(type) {
	case nil:
		if kind == "string" {
			return "" // which is never null
		}
		return "null"
	case defendersim.HuntTicks:
		return v.Time().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z")
	case json.RawMessage:
		return compactJSON(v)
	case string:
		return strings.ReplaceAll(v, "\x00", "\uFFFD")
	}
	return fmt.Sprint(v)
}

func compactJSON(b []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// storedRows writes the rows of a hunting table as canonical does.
func (r *rig) storedRows(t testing.TB, table defendersim.HuntTable) []string {
	t.Helper()
	var cols []string
	names := map[string]int{"tenant_id": 1} // ours comes first
	for _, c := range table.Columns {
		name := store.SnakeCase(c.Name)
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, names[name])
		}
		id := pgx.Identifier{name}.Sanitize()
		switch c.Type {
		case "datetime":
			id = `to_char(` + id + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		case "timespan":
			id = `CASE WHEN ` + id + ` = interval '1 day 2:03:04.5' THEN '1.02:03:04.5000000' ELSE ` + id + `::text END`
		}
		cols = append(cols, id+"::text")
	}
	if !value[bool](t, r.db, `SELECT to_regclass('hunting.`+store.SnakeCase(table.Name)+`') IS NOT NULL`) {
		return nil
	}
	rows, err := r.db.Query(t.Context(), "SELECT ARRAY["+strings.Join(cols, ", ")+"], extra IS NULL FROM "+
		pgx.Identifier{"hunting", store.SnakeCase(table.Name)}.Sanitize())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var values []*string
	var plain bool
	_, err = pgx.ForEachRow(rows, []any{&values, &plain}, func() error {
		var b strings.Builder
		for i, c := range table.Columns {
			s := "null"
			if values[i] != nil {
				s = *values[i]
			}
			if c.Type == "dynamic" && values[i] != nil {
				s = compactJSON([]byte(s))
			}
			fmt.Fprintf(&b, "%s=%s|", c.Name, s)
		}
		if !plain {
			b.WriteString("extra")
		}
		all = append(all, b.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// huntClient is a client of its own for hunting, with limits of its own.
func (r *rig) huntClient(t testing.TB, dialect defender.Dialect) *defender.Client {
	t.Helper()
	return r.newClient(t, dialect)
}

// queryOf reads the text of a hunting query without taking it from the service.
func queryOf(req *http.Request) string {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return ""
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	var q struct{ Query string }
	if json.Unmarshal(body, &q) != nil {
		return ""
	}
	return q.Query
}

// fetches chooses the queries that ask for rows, not for counts.
func fetches(req *http.Request) bool { return !strings.Contains(queryOf(req), "summarize Rows") }

// holds chooses the queries whose window has the instant in it.
func holds(at time.Time) func(*http.Request) bool {
	return func(req *http.Request) bool {
		text := queryOf(req)
		since, ok := windowOf(text)
		_, after, found := strings.Cut(text, "< datetime(")
		if !ok || !found {
			return false
		}
		until, err := time.Parse(time.RFC3339Nano, after[:strings.Index(after, ")")])
		return err == nil && !at.Before(since) && at.Before(until)
	}
}
