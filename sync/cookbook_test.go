package sync_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"defendersync/migrations"
	defsync "defendersync/sync"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// cookbook is where the questions are, and how a question with its SQL looks.
const cookbook = "../docs/cookbook.md"

var recipe = regexp.MustCompile("(?s)\n### ([^\n]+)\n(.*?)```sql\n(.*?)```")

// newDemoRig is the demo's tenant, two days of whose life were followed.
func newDemoRig(t *testing.T) *rig {
	t.Helper()
	now := time.Now()
	r := newRig(t, rigOptions{now: now.Add(-50 * time.Hour), world: defendersim.WorldOptions{Seed: 1, Incidents: 300},
		sim: defendersim.Options{Hunting: defendersim.DemoHunting(1, now, 1)}})
	for range 10 {
		r.sync(t)
		r.world.StepN(30)
		r.clock.advance(5 * time.Hour)
	}
	for _, h := range []defsync.Hunt{
		{Name: "device_process_events", Table: "DeviceProcessEvents"},
		{Name: "device_tvm_software_vulnerabilities", Table: "DeviceTvmSoftwareVulnerabilities"},
	} {
		h.AutoMigrate = true
		resolved, err := h.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		r.opt.hunts = append(r.opt.hunts, resolved)
	}
	r.opt.start = 29
	r.worker = r.newWorker(t, r.store, "first")
	r.sync(t)
	return r
}

// asReader makes what the test asks be asked by a role that may only read.
func (r *rig) asReader(t *testing.T, role string) {
	t.Helper()
	r.exec(t, `DROP ROLE IF EXISTS "`+role+`"`)
	r.exec(t, `CREATE ROLE "`+role+`"`)
	t.Cleanup(func() {
		for _, sql := range []string{`RESET ROLE`, `DROP OWNED BY "` + role + `"`, `DROP ROLE "` + role + `"`} {
			if _, err := r.db.Exec(context.WithoutCancel(t.Context()), sql); err != nil {
				t.Error(err)
			}
		}
	})
	if err := migrations.GrantRead(t.Context(), r.db, role); err != nil {
		t.Fatal(err)
	}
	r.exec(t, `SET ROLE "`+role+`"`)
}

// filling is what the cookbook tells the owner to do about rows from before.
var filling = regexp.MustCompile("(?s)\n```\n(INSERT INTO defender.hunting_sightings .*?)```")

// TestCookbookFillsSightingsIn takes sightings away and lets the owner have them again.
func TestCookbookFillsSightingsIn(t *testing.T) {
	text, err := os.ReadFile(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	fill := filling.FindStringSubmatch(string(text))
	if fill == nil {
		t.Fatal("the cookbook does not say how")
	}
	const ours = `SELECT count(*) || ' ' || md5(string_agg(day || entity_key, ',' ORDER BY day, entity_key)) FROM defender.hunting_sightings
		WHERE table_name = 'device_process_events' AND entity_type = 'hash' AND 'sha256' = ANY (properties)`
	const all = `SELECT md5(string_agg(x, ',' ORDER BY x)) FROM (SELECT s::text FROM defender.hunting_sightings AS s UNION ALL SELECT e::text FROM defender.entities AS e) AS x (x)`
	r := newDemoRig(t)
	had, everything := value[string](t, r.db, ours), value[string](t, r.db, all)
	r.exec(t, fill[1])
	if value[string](t, r.db, all) != everything {
		t.Error("filling in what is there has changed it")
	}
	r.exec(t, `DELETE FROM defender.hunting_sightings WHERE table_name = 'device_process_events' AND entity_type = 'hash'`)
	r.exec(t, fill[1])
	if got := value[string](t, r.db, ours); got != had {
		t.Errorf("%s, and %s before", got, had)
	}
}

// TestCookbook asks every question as a reader would, and wants an answer, which
// is the same of a tenant whether there is another in the database or not.
func TestCookbook(t *testing.T) {
	text, err := os.ReadFile(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	recipes := recipe.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "```sql"); n != len(recipes) || n < 15 {
		t.Errorf("%d blocks of SQL, %d questions", n, len(recipes))
	}
	r := newDemoRig(t)
	consistent(t, r.db)
	r.addNeighbour(t)
	r.exec(t, `ANALYZE`) // as autovacuum does within a minute
	r.asReader(t, "defendersync test cook")
	ours := map[string]string{}
	for _, q := range recipes {
		ours[q[1]] = `SELECT * FROM (` + limit.ReplaceAllString(strings.TrimRight(q[3], "; \n"), "") + `) AS q WHERE tenant_id <> '` + neighbour + `'`
	}
	r.sameWithoutNeighbour(t, ours)
	for _, q := range recipes {
		t.Run(q[1], func(t *testing.T) {
			began := time.Now()
			rows, err := r.db.Query(t.Context(), q[3])
			if err != nil {
				t.Fatal(err)
			}
			all, err := pgx.CollectRows(rows, pgx.RowToMap)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) == 0 {
				t.Error("no rows")
			}
			justified(t, all)
			tenants := map[any]int{}
			for _, row := range all {
				tenants[fmt.Sprintf("%x", row["tenant_id"])]++
			}
			switch theirs := tenants[strings.ReplaceAll(neighbour, "-", "")]; {
			case strings.Contains(q[3], "-- your tenant and") && theirs > 0:
				t.Errorf("%d rows of another tenant than the one that is asked for", theirs)
			case strings.Contains(q[1], "most common") && (theirs != len(all)/2 || len(tenants) != 2):
				t.Errorf("rows by tenant: %v, want as many of each", tenants)
			}
			if strings.Contains(q[1], "this hash") {
				seen := map[any]int{}
				for _, row := range all {
					seen[row["source"]]++
				}
				if seen["alert"] == 0 || seen["hunting"] == 0 {
					t.Errorf("seen by %v, want alerts and hunting", seen)
				}
			}
			t.Logf("%d rows in %s", len(all), time.Since(began).Round(time.Millisecond))
		})
	}
}

// justified finds durations such as 3 days 27:51:41.
func justified(t *testing.T, rows []map[string]any) {
	t.Helper()
	for _, row := range rows {
		for column, v := range row {
			if d, ok := v.(pgtype.Interval); ok && (d.Microseconds >= 24*time.Hour.Microseconds() || d.Microseconds <= -24*time.Hour.Microseconds()) {
				t.Errorf("%s is %d days and %s", column, d.Days, time.Duration(d.Microseconds)*time.Microsecond)
			}
		}
	}
}
