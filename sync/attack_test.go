package sync_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"defendersync/store/storetest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// technique is an id of ATT&CK wherever it stands.
var technique = regexp.MustCompile(`\bT1[0-9]{3}(\.[0-9]{3})?\b`)

// TestAttackTableHasWhatIsServed looks up every technique that the simulator's
// alerts show, and every one in what others have published of the APIs.
func TestAttackTableHasWhatIsServed(t *testing.T) {
	published := os.Getenv("DEFENDERSYNC_FIXTURES")
	if published == "" {
		published = filepath.Join("..", "..", "shared", "fixtures")
	}
	db := emptyDatabase(t)
	for _, from := range []struct {
		name, files string
		least       int
	}{
		{"simulator", filepath.Join("defendersim", "detections.go"), 40},
		{"incidents", filepath.Join(published, "incidents", "*"), 60},
		{"hunting", filepath.Join(published, "hunting", "*"), 5},
	} {
		t.Run(from.name, func(t *testing.T) {
			files, err := filepath.Glob(from.files)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 && from.name != "simulator" {
				t.Skipf("the published samples are not here, so nothing was looked up: %s", from.files)
			}
			served := techniquesIn(t, files)
			if len(served) < from.least {
				t.Errorf("only %d techniques: %q were not read", len(served), files)
			}
			missing := query[struct{ ID string }](t, db, `SELECT id FROM unnest($1::text[]) AS id WHERE id NOT IN (SELECT technique_id FROM bi.attack_techniques)`, served)
			if len(missing) > 0 {
				t.Errorf("not in bi.attack_techniques: %q", missing)
			}
			t.Logf("%d techniques", len(served))
		})
	}
}

func techniquesIn(t *testing.T, files []string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range technique.FindAllString(string(text), -1) {
			found[id] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// emptyDatabase is a migrated database that nothing was synced into.
func emptyDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return (&rig{dsn: storetest.URL(t)}).openPool(t)
}

// TestUnknownTechniqueIsShown has alerts of techniques that are newer than the
// table: what has a parent there counts as the parent does, and of the others
// every panel and question about tactics says that they are not in the table.
func TestUnknownTechniqueIsShown(t *testing.T) {
	const tenant = "11111111-1111-4111-8111-111111111111"
	db := emptyDatabase(t)
	for _, id := range []string{"T1566.002", "T1566.999", "T9999", "T9999.001"} {
		for _, sql := range []string{
			`INSERT INTO defender.alerts (tenant_id, alert_id, incident_id, severity, status, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
				VALUES ($1, 'alert of ' || $2, 1, 'high', 'new', now() - interval '1 hour', now(), '{}', gen_random_uuid(), now(), now())`,
			`INSERT INTO defender.alert_techniques (tenant_id, alert_id, technique) VALUES ($1, 'alert of ' || $2, $2)`,
		} {
			if _, err := db.Exec(t.Context(), sql, tenant, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	counted := value[string](t, db, `SELECT string_agg(concat_ws(' ', technique_id, technique_name, tactic_name, alert_count), ', ' ORDER BY technique_id) FROM bi.techniques`)
	if want := "T1566.002 Phishing: Spearphishing Link Initial Access 1, T1566.999 Phishing Initial Access 1, T9999 1, T9999.001 1"; counted != want {
		t.Errorf("bi.techniques has %q, want %q", counted, want)
	}
	chosen := choices{"tenant": {tenant}, "severity": {"high"}, "technique": {"T9999"}}
	for title, asked := range tacticQueries(t) {
		t.Run(title, func(t *testing.T) {
			rows, err := db.Query(t.Context(), expand(t, asked, chosen))
			if err != nil {
				t.Fatal(err)
			}
			all, err := pgx.CollectRows(rows, pgx.RowToMap)
			if err != nil {
				t.Fatal(err)
			}
			shown := slices.ContainsFunc(all, func(row map[string]any) bool {
				return slices.Contains(slices.Collect(maps.Values(row)), any("not in the table")) || row["not in the table"] == int64(2)
			})
			if len(all) == 0 || !shown {
				t.Errorf("the alerts of T9999 are not among %v", all)
			}
		})
	}
}

// tacticQueries are what asks for techniques or tactics by name: panels of the
// dashboard for ATT&CK, by title, and questions of the cookbook.
func tacticQueries(t *testing.T) map[string]string {
	t.Helper()
	asked := map[string]string{}
	for _, d := range readDashboards(t) {
		for _, p := range d.Panels {
			if sql := p.Targets; strings.Contains(d.Title, "ATT&CK") && len(sql) == 1 && namesTechniques(sql[0].RawSQL) {
				asked[p.Title] = sql[0].RawSQL
			}
		}
	}
	text, err := os.ReadFile(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range recipe.FindAllStringSubmatch(string(text), -1) {
		if namesTechniques(q[3]) {
			asked[q[1]] = strings.TrimSuffix(strings.TrimSpace(q[3]), ";")
		}
	}
	if len(asked) < 7 {
		t.Errorf("only %q were found", slices.Sorted(maps.Keys(asked)))
	}
	return asked
}

func namesTechniques(sql string) bool {
	return strings.Contains(sql, "tactic_") || strings.Contains(sql, "technique_name")
}
