package migrations_test

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store/storetest"
)

// dictionaryFile is written from the comments in the database.
const dictionaryFile = "../docs/data-dictionary.md"

// dictionaryHead stands before what is generated.
const dictionaryHead = `# Data dictionary

Every schema, table, view and column, from the COMMENTs in the database: ` + "`make schema`" + ` writes this page, and a test
compares it. In psql ` + "`\\d+ bi.incidents`" + ` shows the same. Start with the schema ` + "`bi`" + `; [the cookbook](cookbook.md) shows how.

Every table and view begins with ` + "`tenant_id`" + `, and every join is on it, too. Times are ` + "`timestamptz`" + `; days are of UTC.
**Source** is the property that a column holds, where it holds one: its name on Microsoft Graph, and in the older API.

**Hunting tables are not listed**: which there are depends on the configuration and their columns on what the service
serves. Each is ` + "`hunting.<name>`" + `, holds the rows of every tenant that asks for it, and has one column for each column of the
answer, named in snake_case, with the original name as its COMMENT. What there is in a database:

` + "```sql" + `
SELECT c.table_name, c.column_name, c.type, c.served_name, c.served_type
FROM sync.hunting_columns AS c
ORDER BY c.table_name, c.column_name;
` + "```" + `
`

// described is a schema, a table or view, or a column, with what is said of it.
type described struct {
	Schema, Object, Kind, Column, Type, Comment string
	Position                                    int
}

// described lists all of it in the order of the page.
func describedObjects(t *testing.T, pool *pgxpool.Pool) []described {
	t.Helper()
	const list = `
		SELECT n.nspname::text COLLATE "C", c.relname::text COLLATE "C", CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END,
			coalesce(a.attname::text, ''), coalesce(format_type(a.atttypid, a.atttypmod), ''),
			coalesce(CASE WHEN a.attnum IS NULL THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END, ''),
			coalesce(a.attnum, 0)
		FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		LEFT JOIN LATERAL (
			SELECT NULL::name AS attname, NULL::oid AS atttypid, NULL::integer AS atttypmod, NULL::smallint AS attnum
			UNION ALL
			SELECT a.attname, a.atttypid, a.atttypmod, a.attnum
			FROM pg_catalog.pg_attribute AS a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		) AS a ON true
		WHERE n.nspname IN ('bi', 'defender', 'sync') AND c.relkind IN ('r', 'p', 'v')
		UNION ALL
		SELECT n.nspname::text, '', 'schema', '', '', coalesce(obj_description(n.oid, 'pg_namespace'), ''), 0
		FROM pg_catalog.pg_namespace AS n
		WHERE n.nspname IN ('bi', 'defender', 'sync')
		UNION ALL
		SELECT n.nspname::text, p.proname::text, 'function', '', pg_get_function_identity_arguments(p.oid), coalesce(obj_description(p.oid, 'pg_proc'), ''), 0
		FROM pg_catalog.pg_proc AS p
		JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
		WHERE n.nspname IN ('bi', 'defender', 'sync')
		ORDER BY 1, 2, 7`
	rows, err := pool.Query(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[described])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// source cuts what a comment says about where a column comes from off its end.
func source(comment string) (meaning, from string) {
	at := len(comment)
	for _, mark := range []string{"Graph: ", "Older API: "} {
		if i := strings.Index(comment, mark); i >= 0 {
			at = min(at, i)
		}
	}
	meaning, from = strings.TrimSpace(comment[:at]), strings.TrimSuffix(comment[at:], ".")
	graph, older, both := strings.Cut(from, ". Older API: ")
	if graph = strings.TrimPrefix(graph, "Graph: "); both && graph == older {
		return meaning, graph
	}
	return meaning, strings.ReplaceAll(strings.TrimPrefix(from, "Graph: "), ". Older API: ", "; older: ")
}

// dictionary is the page.
func dictionary(all []described) string {
	var b strings.Builder
	b.WriteString(dictionaryHead)
	short := strings.NewReplacer("timestamp with time zone", "timestamptz", "timestamp without time zone", "timestamp")
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "<", "&lt;") }
	for _, d := range all {
		switch {
		case d.Kind == "schema":
			fmt.Fprintf(&b, "\n## Schema `%s`\n\n%s\n", d.Schema, d.Comment)
		case d.Kind == "function":
			fmt.Fprintf(&b, "\n### `%s.%s(%s)` (function)\n\n%s\n", d.Schema, d.Object, short.Replace(d.Type), cell(d.Comment))
		case d.Column == "":
			fmt.Fprintf(&b, "\n### `%s.%s` (%s)\n\n%s\n\n| column | type | meaning | source |\n|---|---|---|---|\n", d.Schema, d.Object, d.Kind, cell(d.Comment))
		default:
			meaning, from := source(d.Comment)
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Column, short.Replace(d.Type), cell(cmp.Or(meaning, "As served.")), cell(from))
		}
	}
	return b.String()
}

// The data dictionary says what the COMMENTs say.
func TestDictionary(t *testing.T) {
	got := dictionary(describedObjects(t, connect(t, storetest.URL(t))))
	if *update {
		if err := os.WriteFile(dictionaryFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(dictionaryFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is not what the migrations say; run make schema (-want +got):\n%s", dictionaryFile, diff)
	}
}

func TestSourceOfAColumn(t *testing.T) {
	for comment, want := range map[string][2]string{
		"Name; changes. Graph: displayName. Older API: incidentName.":    {"Name; changes.", "displayName; older: incidentName"},
		"Text. Graph: comments.comment. Older API: comments.comment.":    {"Text.", "comments.comment"},
		"Roles of it, such as attacked. Graph: evidence.roles.":          {"Roles of it, such as attacked.", "evidence.roles"},
		"active or resolved. Older API: status (Active becomes active).": {"active or resolved.", "Older API: status (Active becomes active)"},
		"When it was stored.": {"When it was stored.", ""},
	} {
		if meaning, from := source(comment); meaning != want[0] || from != want[1] {
			t.Errorf("source(%q) = %q, %q", comment, meaning, from)
		}
	}
}
