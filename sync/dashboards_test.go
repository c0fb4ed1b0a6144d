package sync_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/store/storetest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// dashboards are what Grafana reads. What is in them besides SQL is looked at
// where they are, in deploy.
const dashboards = "../deploy/grafana/dashboards/*.json"

// grafanaDashboard is of its JSON what leads to SQL.
type grafanaDashboard struct {
	Title  string
	Panels []struct {
		Title       string
		Targets     []grafanaQuery
		FieldConfig json.RawMessage
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      string
			Options    []struct{ Value any }
		}
	}
}

// grafanaQuery is what is sent, and what Grafana makes of the rows.
type grafanaQuery struct{ Format, RawSQL string }

// TestDashboards asks as Grafana would, and as the role that it is given, for
// every panel and every variable on the demo's tenant and another that has the
// same numbers and keys. Every panel shows something: for those that are rightly
// empty, something is made to go wrong.
func TestDashboards(t *testing.T) {
	all := readDashboards(t)
	r := newDemoRig(t)
	trouble(t, r)
	r.addNeighbour(t)
	r.exec(t, `ANALYZE`) // as autovacuum does within a minute
	r.asReader(t, "defendersync test grafana")
	for _, d := range all {
		t.Run(d.Title, func(t *testing.T) {
			askAll(t, r, d)
			keepApart(t, r, d)
			addUp(t, r, d)
		})
	}
}

// keepApart wants a panel for which one tenant is chosen, or one incident while all
// tenants are, to show what it shows without the other tenant.
func keepApart(t *testing.T, r *rig, d *grafanaDashboard) {
	t.Helper()
	offered, chosen := variables(t, r, d)
	ours := chosen.with("tenant", offered["tenant"][0])
	queries := map[string]string{}
	for _, v := range d.Templating.List {
		if v.Type == "query" && v.Name != "tenant" {
			queries["variable "+v.Name] = expand(t, v.Query, ours)
		}
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			switch {
			case strings.Contains(q.RawSQL, "${incident:sqlstring}"):
				for i, one := range offered["incident"][:3] {
					if !strings.HasPrefix(one, offered["tenant"][0]) {
						t.Fatalf("%s is no incident of the first tenant", one)
					}
					queries[fmt.Sprint(p.Title, " ", i)] = expand(t, q.RawSQL, chosen.with("incident", one))
				}
			case strings.Contains(q.RawSQL, "${tenant:sqlstring}"): // the others say that they show all
				queries[p.Title] = expand(t, q.RawSQL, ours)
			}
		}
	}
	r.sameWithoutNeighbour(t, queries)
}

// addUp wants what panels count of incidents, alerts and entities to be of both
// tenants together what it is of the one and of the other: their numbers are equal.
func addUp(t *testing.T, r *rig, d *grafanaDashboard) {
	t.Helper()
	counts := map[string]string{"Busiest detections": "incidents", "Seen": "alerts + incidents", "Alerts by tactic": "high + medium + low",
		"When which tactic": "alerts", "Commonest techniques": "alerts + incidents", "Newest": "alerts", "Their alerts": "alerts", "Its alerts": "alerts",
		"Entities by kind": "entities", "Addresses, senders and URLs that keep coming back": "alerts + incidents"}
	_, chosen := variables(t, r, d)
	for _, p := range d.Panels {
		column, ok := counts[p.Title]
		if !ok || strings.Contains(p.Targets[0].RawSQL, "${incident:sqlstring}") {
			continue
		}
		sum := func(tenants ...string) int {
			sql := expand(t, limit.ReplaceAllString(strings.TrimSpace(p.Targets[0].RawSQL), ""), chosen.with("tenant", tenants...))
			return value[int](t, r.db, `SELECT coalesce(sum(`+column+`), 0)::int FROM (`+sql+`) AS q`)
		}
		both, ours, theirs := sum(chosen["tenant"]...), sum(chosen["tenant"][0]), sum(chosen["tenant"][1])
		if both != ours+theirs || ours == 0 {
			t.Errorf("%s: %s is %d of both tenants together, %d and %d of each", p.Title, column, both, ours, theirs)
		}
	}
}

// TestDashboardsOfNothing asks for every panel in a database that nothing has
// been synced into, with no tenant to choose: there is little to see, and no error.
func TestDashboardsOfNothing(t *testing.T) {
	r := &rig{dsn: storetest.URL(t)}
	r.db = r.openPool(t)
	for _, d := range readDashboards(t) {
		chosen := choices{}
		for _, v := range d.Templating.List {
			chosen[v.Name] = nil
			if v.Type == "textbox" || v.Name == "incident" || v.Name == "severity" {
				chosen[v.Name] = []string{""}
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				ask(t, r, target, chosen)
				ask(t, r, target, chosen.with("tenant", ""))
			}
		}
	}
}

func readDashboards(t *testing.T) (all []*grafanaDashboard) {
	t.Helper()
	files, err := filepath.Glob(dashboards)
	if err != nil || len(files) < 6 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		d := &grafanaDashboard{}
		if err := json.Unmarshal(text, d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, d)
	}
	return all
}

// trouble is one of each thing that should not happen and has a panel.
func trouble(t *testing.T, r *rig) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE sync.coverage SET verdict = 'truncated', reason = 'the answer was cut' WHERE (tenant_id, stream, from_time) IN (SELECT tenant_id, stream, max(from_time) FROM sync.coverage GROUP BY 1, 2)`,
		`INSERT INTO sync.quarantine SELECT tenant_id, gen_random_uuid(), stream, 'alert', 'da1', 'a number is too large', 1, '{}', now(), now(), NULL FROM sync.checkpoints`,
		`INSERT INTO sync.reconciliations SELECT tenant_id, stream, date_trunc('hour', now()) - interval '1 day', 7, 6, now(), NULL FROM sync.checkpoints`,
		`INSERT INTO sync.schema_changes SELECT tenant_id, gen_random_uuid(), 'DeviceProcessEvents', 'Novelty', 'new_property', 'string', now(), NULL FROM sync.checkpoints`,
		`UPDATE sync.runs SET outcome = 'failed', error = '503 Service Unavailable', throttled_seconds = 12 WHERE run_id IN (SELECT DISTINCT ON (stream) run_id FROM sync.runs ORDER BY stream, started_at)`,
	} {
		r.exec(t, sql)
	}
}

// choices are the values of each variable that are chosen.
type choices map[string][]string

func (c choices) with(name string, values ...string) choices {
	d := choices{}
	for k, v := range c {
		d[k] = v
	}
	d[name] = values
	return d
}

// askAll asks with everything chosen, which has to show something, and then with
// each choice by itself, which has to be understood.
func askAll(t *testing.T, r *rig, d *grafanaDashboard) {
	offered, chosen := variables(t, r, d)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			t.Run(p.Title, func(t *testing.T) {
				columnsExist(t, r, expand(t, target.RawSQL, chosen), string(p.FieldConfig))
				began := time.Now()
				n := ask(t, r, target, chosen)
				for _, one := range offered["incident"] { // not every incident has comments
					if n == 0 {
						n = ask(t, r, target, chosen.with("incident", one))
					}
				}
				if n == 0 {
					t.Error("shows nothing")
				}
				t.Logf("%d rows in %s", n, time.Since(began).Round(time.Millisecond))
				for name, values := range offered {
					for _, v := range values[:min(len(values), 6)] {
						ask(t, r, target, chosen.with(name, v))
					}
				}
			})
		}
	}
}

// variables returns what each offers, and what is chosen at first: everything,
// or the first where it is one of many.
func variables(t *testing.T, r *rig, d *grafanaDashboard) (offered, chosen choices) {
	t.Helper()
	offered, chosen = choices{}, choices{}
	for _, v := range d.Templating.List {
		switch v.Type {
		case "custom":
			for _, o := range v.Options {
				if o.Value != "$__all" {
					offered[v.Name] = append(offered[v.Name], o.Value.(string))
				}
			}
			chosen[v.Name] = offered[v.Name]
		case "textbox":
			offered[v.Name] = []string{"", "it's \" OR \\ $1", "WS-0001"}
			chosen[v.Name] = []string{""}
		case "query":
			offered[v.Name] = offers(t, r, expand(t, v.Query, chosen))
			chosen[v.Name] = offered[v.Name]
			if v.Name == "incident" {
				chosen[v.Name] = offered[v.Name][:1]
			}
		default:
			t.Errorf("variable %s is of the type %s, which nothing here asks", v.Name, v.Type)
		}
	}
	return offered, chosen
}

// offers are the values of a variable: the column __value, or the only one.
func offers(t *testing.T, r *rig, sql string) (values []string) {
	t.Helper()
	rows, err := r.db.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	for _, row := range all {
		v, ok := row["__value"]
		for _, only := range row {
			if !ok {
				v = only
			}
		}
		values = append(values, v.(string))
	}
	if len(values) == 0 {
		t.Fatalf("a variable offers nothing:\n%s", sql)
	}
	return values
}

// ask returns how many rows there are that show something.
func ask(t *testing.T, r *rig, q grafanaQuery, c choices) (n int) {
	t.Helper()
	sql := expand(t, q.RawSQL, c)
	rows, err := r.db.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	defer rows.Close()
	if q.Format == "time_series" && rows.Err() == nil {
		return askSeries(t, rows)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(values, func(v any) bool { return v != nil && fmt.Sprint(v) != "0" }) {
			n++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return n
}

var (
	override  = regexp.MustCompile(`"id": "byName",\s+"options": "([^"]+)"`)
	dataField = regexp.MustCompile(`\$\{__data\.fields\.(\w+)`)
)

// columnsExist wants every column that has settings of its own, and every one
// that a link reads, to be asked for. Series have names that come from the data.
func columnsExist(t *testing.T, r *rig, sql, config string) {
	t.Helper()
	plan, err := r.db.Query(t.Context(), `SELECT * FROM (`+sql+`) AS q LIMIT 0`)
	if err != nil {
		t.Fatal(err)
	}
	plan.Close()
	var columns []string
	for _, f := range plan.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	if slices.Contains(columns, "metric") {
		return
	}
	for _, m := range slices.Concat(override.FindAllStringSubmatch(config, -1), dataField.FindAllStringSubmatch(config, -1)) {
		if !slices.Contains(columns, m[1]) {
			t.Errorf("the column %q has settings or is read by a link, and is not among %q", m[1], columns)
		}
	}
}

// askSeries wants what Grafana makes series of: a column time, in order, and
// numbers; beside a column metric, which names the series, one number.
func askSeries(t *testing.T, rows pgx.Rows) (n int) {
	t.Helper()
	fields := rows.FieldDescriptions()
	at := slices.IndexFunc(fields, func(f pgconn.FieldDescription) bool { return f.Name == "time" })
	named := slices.ContainsFunc(fields, func(f pgconn.FieldDescription) bool { return f.Name == "metric" })
	if at < 0 || named && len(fields) != 3 || !named && len(fields) < 2 {
		t.Fatalf("%d columns, time is number %d, metric %t", len(fields), at+1, named)
	}
	last := ""
	for rows.Next() {
		values := rows.RawValues()
		if values[at] == nil {
			t.Fatal("a point without a time")
		}
		all, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		now := sortable(t, all[at])
		if now < last {
			t.Fatalf("%s comes after %s", now, last)
		}
		last = now
		n++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// sortable is a time as text, of equal length for all.
func sortable(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000000")
	case pgtype.Float64Valuer:
		f, err := v.Float64Value()
		if err != nil {
			t.Fatal(err)
		}
		return time.Unix(int64(f.Float64), 0).UTC().Format("2006-01-02T15:04:05.000000")
	default:
		t.Fatalf("a time of the type %T", v)
		return ""
	}
}

var (
	variable = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}`)
	macro    = regexp.MustCompile(`\$__(\w+)\(([^)]*)\)`) // an argument can't hold a parenthesis
	period   = regexp.MustCompile(`^'?(\d+)([smhd])'?$`)
)

// expand does what Grafana does before a query is sent: variables as lists of
// quoted texts, then the macros of its data source for PostgreSQL, for the last
// 30 days. What it does not know fails the test.
func expand(t *testing.T, sql string, c choices) string {
	t.Helper()
	sql = variable.ReplaceAllStringFunc(sql, func(s string) string {
		m := variable.FindStringSubmatch(s)
		values, ok := c[m[1]]
		if !ok || m[2] != "sqlstring" {
			t.Fatalf("%s is no variable, or is not quoted:\n%s", s, sql)
		}
		var quoted []string
		for _, v := range values {
			quoted = append(quoted, "'"+strings.ReplaceAll(v, "'", "''")+"'")
		}
		return strings.Join(quoted, ",")
	})
	sql = strings.ReplaceAll(sql, "$__interval", "6h")
	sql = macro.ReplaceAllStringFunc(sql, func(s string) string {
		m := macro.FindStringSubmatch(s)
		return expandMacro(t, m[1], strings.Split(m[2], ","))
	})
	if strings.Contains(sql, "$__") || strings.Contains(sql, "[[") {
		t.Fatalf("a macro is left:\n%s", sql)
	}
	return sql
}

func expandMacro(t *testing.T, name string, args []string) string {
	t.Helper()
	until := time.Now().UTC()
	to, from := until.Format(time.RFC3339), until.Add(-30*24*time.Hour).Format(time.RFC3339)
	column := strings.TrimSpace(args[0])
	switch {
	case name == "timeFrom" && column == "":
		return "'" + from + "'"
	case name == "timeTo" && column == "":
		return "'" + to + "'"
	case name == "timeFilter" && column != "":
		return fmt.Sprintf("%s BETWEEN '%s' AND '%s'", column, from, to)
	case strings.HasPrefix(name, "timeGroup") && len(args) == 2:
		m := period.FindStringSubmatch(strings.TrimSpace(args[1]))
		if m == nil {
			t.Fatalf("%s is no period", args[1])
		}
		seconds := m[1] + map[string]string{"s": "", "m": "*60", "h": "*3600", "d": "*86400"}[m[2]]
		group := fmt.Sprintf("floor(extract(epoch from %s)/(%s))*(%s)", column, seconds, seconds)
		return group + map[string]string{"timeGroup": "", "timeGroupAlias": ` AS "time"`}[name]
	}
	t.Fatalf("$__%s(%s) is no macro that is known here", name, strings.Join(args, ","))
	return ""
}
