package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tableColumn is one column of a hunting table that holds what is served.
type tableColumn struct {
	name   string // in the table
	served string
	typed  string // the type served when the column was made
	kind   huntKind
	made   bool // else its migration is pending
}

// huntTable is a hunting table as the database knows it.
type huntTable struct {
	name    string // without its schema
	made    bool   // it exists
	ranges  bool   // it was made for validity ranges, or is to be
	pending bool   // the migration that makes it is not applied yet
	columns []tableColumn
}

// querier is a transaction, or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// loadHuntTable reads what is known of a table.
func loadHuntTable(ctx context.Context, q querier, name string) (*huntTable, error) {
	// A third column of the primary key, valid_from, tells the tables with ranges;
	// and a view, the migration that would make one. A migration that widens is
	// named otherwise.
	const state = `
		SELECT i.indrelid IS NOT NULL, coalesce(i.indnkeyatts = 3, m.ranges, false), m.ranges IS NOT NULL
		FROM (SELECT) AS one
		LEFT JOIN pg_index AS i ON i.indrelid = to_regclass(format('hunting.%I', $1::text)) AND i.indisprimary
		LEFT JOIN LATERAL (
			SELECT starts_with(m.down_sql, 'DROP VIEW') AS ranges
			FROM sync.hunting_migrations AS m
			WHERE m.table_name = $1 AND m.name = lpad(m.version::text, 5, '0') || '_' || $1 || '.sql'
				AND NOT EXISTS (SELECT FROM sync.goose_hunting_version AS v WHERE v.version_id = m.version AND v.is_applied)
			ORDER BY m.version DESC
			LIMIT 1
		) AS m ON true`
	const columns = `
		SELECT c.column_name, c.served_name, c.served_type, c.type,
			EXISTS (SELECT FROM sync.goose_hunting_version AS v WHERE v.version_id = c.version AND v.is_applied)
		FROM sync.hunting_columns AS c
		WHERE c.table_name = $1
		ORDER BY c.column_name`
	t := &huntTable{name: name}
	if err := q.QueryRow(ctx, state, name).Scan(&t.made, &t.ranges, &t.pending); err != nil {
		return nil, err
	}
	if !t.made && !t.pending {
		return t, nil // never made, or dropped by hand
	}
	rows, err := q.Query(ctx, columns, name)
	if err != nil {
		return nil, err
	}
	t.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c tableColumn, err error) {
		err = row.Scan(&c.name, &c.served, &c.typed, &c.kind, &c.made)
		return c, err
	})
	return t, err
}

// find returns the column that holds what is served under a name: the one of
// that name, or else the one that differs in case only, because the two APIs
// do. taken columns are another name's.
func (t *huntTable) find(served string, taken map[string]bool) *tableColumn {
	var alike *tableColumn
	for i := range t.columns {
		switch c := &t.columns[i]; {
		case c.served == served:
			return c
		case alike == nil && !taken[c.served] && strings.EqualFold(c.served, served):
			alike = c
		}
	}
	return alike
}

// match returns the table's column for each served one, nil where there is
// none. A name served twice has a column once: the rows of an answer are
// objects, and hold one value of a name.
func (t *huntTable) match(served []HuntColumn) []*tableColumn {
	taken := map[string]bool{}
	for _, s := range served {
		for _, c := range t.columns {
			if c.served == s.Name {
				taken[s.Name] = true
			}
		}
	}
	all := make([]*tableColumn, len(served))
	for i, s := range served {
		if c := t.find(s.Name, taken); c != nil {
			all[i] = c
			taken[c.served] = true
		}
	}
	return all
}

// missing returns columns for what is served and has none, named so that they
// meet no other.
func (t *huntTable) missing(spec *HuntSpec, served []HuntColumn) []tableColumn {
	// PostgreSQL's own come first, and then ours.
	names := map[string]bool{"tableoid": true, "xmin": true, "cmin": true, "xmax": true, "cmax": true, "ctid": true}
	for _, n := range spec.ownColumns() {
		names[n] = true
	}
	for _, c := range t.columns {
		names[c.name] = true
	}
	var all []tableColumn
	seen := map[string]bool{}
	for i, c := range t.match(served) {
		s := served[i]
		if c != nil || seen[s.Name] || spec.drops(s.Name) {
			continue
		}
		seen[s.Name] = true
		name := freeName(columnName(s.Name), names)
		names[name] = true
		all = append(all, tableColumn{name: name, served: s.Name, typed: s.Type, kind: spec.kindOf(s)})
	}
	return all
}

// kindOf is the type of the column for a served one.
func (s *HuntSpec) kindOf(c HuntColumn) huntKind {
	if s.hashes(c.Name) {
		return kindText
	}
	return kindOf(c.Type)
}

func (s *HuntSpec) drops(name string) bool  { return containsFold(s.Drop, name) }
func (s *HuntSpec) hashes(name string) bool { return containsFold(s.Hash, name) }

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// ownColumns are those that every row has, besides what is served: the first
// of a table, and its last two.
func (s *HuntSpec) ownColumns() []string {
	if s.Mode == HuntSnapshot {
		return []string{"tenant_id", "row_key", "row_hash", "valid_from", "valid_to", "extra", "synced_at"}
	}
	return []string{"tenant_id", "row_key", "row_hash", "extra", "synced_at"}
}

// maxName is how long a name may be, in bytes, before PostgreSQL cuts it.
const maxName = 63

// columnName is [SnakeCase], cut to what PostgreSQL keeps.
func columnName(served string) string {
	name := cut(SnakeCase(strings.ToValidUTF8(served, "_")), maxName)
	if name == "" {
		return "column"
	}
	return name
}

// freeName returns name, or name_2, or the first after it that is not taken.
func freeName(name string, taken map[string]bool) string {
	free := name
	for n := 2; taken[free]; n++ {
		suffix := fmt.Sprintf("_%d", n)
		free = cut(name, maxName-len(suffix)) + suffix
	}
	return free
}

// cut shortens s to n bytes, or to fewer where a rune would be cut in two.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
