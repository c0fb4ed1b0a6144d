package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"defendersync/migrations"
)

// prepare returns the table with a column for everything that is served, which
// it makes or widens where spec lets it.
func (s *Store) prepare(ctx context.Context, spec *HuntSpec, served []HuntColumn) (*huntTable, error) {
	const attempts = 3 // others make and widen tables, too
	for range attempts {
		t, err := loadHuntTable(ctx, s.pool, spec.table())
		if err != nil {
			return nil, err
		}
		ready, err := t.ready(spec, served)
		if ready && t.ranges && spec.AutoMigrate {
			err = s.describeView(ctx, t)
		}
		if ready || err != nil {
			return t, err
		}
		if err := s.recordMigration(ctx, spec, served); err != nil {
			return nil, err
		}
		if !spec.AutoMigrate {
			return nil, s.schemaPending(ctx, spec)
		}
		if err := migrations.UpHunting(ctx, s.pool.Pool, spec.table()); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the table lacks columns again as soon as it was widened")
}

// describeView gives the columns of a table's view the comments of the table's,
// which views lack that were made by a version that wrote none. A view that is
// another role's is left as it is.
func (s *Store) describeView(ctx context.Context, t *huntTable) error {
	const bare = `
		SELECT format('COMMENT ON COLUMN hunting.%I.%I IS %L', v.relname, c.attname, col_description(o.attrelid, o.attnum))
		FROM pg_class AS v
		JOIN pg_attribute AS c ON c.attrelid = v.oid
		JOIN pg_attribute AS o ON o.attrelid = to_regclass(format('hunting.%I', $1::text)) AND o.attname = c.attname
		WHERE v.oid = to_regclass(format('hunting.%I', $1::text || '_current')) AND v.relkind = 'v' AND pg_has_role(v.relowner, 'USAGE')
			AND col_description(o.attrelid, o.attnum) IS NOT NULL AND col_description(c.attrelid, c.attnum) IS NULL
		ORDER BY c.attnum`
	rows, err := s.pool.Query(ctx, bare, t.name)
	if err != nil {
		return err
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(statements) == 0 {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		for _, comment := range statements {
			if _, err := tx.Exec(ctx, comment); err != nil {
				return err
			}
		}
		return nil
	})
}

// ready reports whether the table can take the rows as it is.
func (t *huntTable) ready(spec *HuntSpec, served []HuntColumn) (bool, error) {
	if !t.made {
		return false, nil
	}
	if t.ranges != (spec.Mode == HuntSnapshot) {
		return false, fmt.Errorf("hunting.%s was made for another mode than %s: give it another name, or drop the table", t.name, spec.Mode)
	}
	missing := t.missing(spec, served)
	switch {
	case len(missing) > 0 && spec.OnNewColumn == "fail":
		e := &NewColumnError{Table: "hunting." + t.name}
		for _, c := range missing {
			e.Columns = append(e.Columns, c.served)
		}
		return false, e
	case len(missing) > 0 && spec.OnNewColumn != "ignore":
		return false, nil
	}
	for _, c := range t.match(served) {
		if c != nil && !c.made && spec.OnNewColumn != "ignore" {
			return false, nil
		}
	}
	return true, nil
}

// schemaPending returns what the operator is asked for.
func (s *Store) schemaPending(ctx context.Context, spec *HuntSpec) error {
	sql, err := migrations.HuntingSQL(ctx, s.pool.Pool, spec.table())
	if err != nil {
		return err
	}
	return &SchemaPendingError{Table: "hunting." + spec.table(), SQL: sql}
}

// recordMigration writes down what the table lacks, unless that is done.
// Workers pass one by one, and each sees what the one before wrote down, and
// what is being applied. What was to make a table that there is not, for another
// mode or before it was dropped by hand, is of no use any more.
func (s *Store) recordMigration(ctx context.Context, spec *HuntSpec, served []HuntColumn) error {
	const lock = `LOCK TABLE sync.hunting_migrations IN SHARE ROW EXCLUSIVE MODE`
	const hold = `SELECT FROM sync.hunting_migrations WHERE table_name = $1 FOR UPDATE`
	return s.inTx(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(lock)
		b.Queue(hold, spec.table())
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		t, err := loadHuntTable(ctx, tx, spec.table())
		if err != nil {
			return err
		}
		create := !t.made && (!t.pending || t.ranges != (spec.Mode == HuntSnapshot))
		if create {
			t.columns = nil
		}
		missing := t.missing(spec, served)
		if !create && len(missing) == 0 {
			return nil
		}
		b = &pgx.Batch{}
		if create {
			const columns = `DELETE FROM sync.hunting_columns WHERE table_name = $1`
			const others = `
				DELETE FROM sync.hunting_migrations AS m
				WHERE m.table_name = $1 AND m.version < (SELECT max(version) FROM sync.hunting_migrations)
					AND NOT EXISTS (SELECT FROM sync.goose_hunting_version AS v WHERE v.version_id = m.version AND v.is_applied)`
			b.Queue(columns, t.name)
			queueMigration(b, t, t.create(spec, missing), missing)
			b.Queue(others, t.name) // last, so that no number comes again
		} else {
			queueMigration(b, t, t.widen(spec, missing), missing)
			queueAdded(b, spec, missing)
		}
		return tx.SendBatch(ctx, b).Close()
	})
}

// queueMigration writes down m, which makes columns, under the next number.
func queueMigration(b *pgx.Batch, t *huntTable, m migration, columns []tableColumn) {
	const insert = `
		INSERT INTO sync.hunting_migrations (version, name, table_name, up_sql, down_sql, created_at)
		SELECT n.version, lpad(n.version::text, 5, '0') || '_' || $1 || '.sql', $2, $3, $4, clock_timestamp()
		FROM (SELECT coalesce(max(version), 0) + 1 FROM sync.hunting_migrations) AS n (version)`
	const describe = `
		INSERT INTO sync.hunting_columns (table_name, column_name, served_name, served_type, type, version)
		SELECT $1, x.column_name, x.served_name, x.served_type, x.type, (SELECT max(version) FROM sync.hunting_migrations)
		FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS x (column_name, served_name, served_type, type)`
	b.Queue(insert, m.name, t.name, m.up, m.down)
	var names, served, types, kinds []string
	for _, c := range columns {
		names, served = append(names, c.name), append(served, c.served)
		types, kinds = append(types, CleanText(c.typed)), append(kinds, string(c.kind))
	}
	b.Queue(describe, t.name, names, served, types, kinds)
}

// queueAdded records that the source serves more than it did.
func queueAdded(b *pgx.Batch, spec *HuntSpec, columns []tableColumn) {
	const insert = `
		INSERT INTO sync.schema_changes (tenant_id, id, object, property, change, detail, first_seen_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())
		ON CONFLICT (tenant_id, id) DO NOTHING`
	for _, c := range columns {
		change := addedColumn(spec, c)
		id := digest(spec.TenantID, change.Object, change.Property, change.Change, change.Detail)
		b.Queue(insert, spec.TenantID, id, change.Object, CleanText(change.Property), change.Change, CleanText(change.Detail))
	}
}

// addedColumn, leftOut and typeChanged are what is recorded of an answer that
// is not as its table.
func addedColumn(spec *HuntSpec, c tableColumn) SchemaChange {
	return SchemaChange{Object: "hunting." + spec.table(), Property: c.served, Change: "new_property",
		Detail: fmt.Sprintf("added as %s %s for %s", c.name, c.kind, c.typed)}
}

func leftOut(spec *HuntSpec, c HuntColumn) SchemaChange {
	return SchemaChange{Object: "hunting." + spec.table(), Property: c.Name, Change: "new_property",
		Detail: fmt.Sprintf("%s kept in extra (on_new_column: ignore)", c.Type)}
}

func typeChanged(spec *HuntSpec, c tableColumn, served string) SchemaChange {
	return SchemaChange{Object: "hunting." + spec.table(), Property: c.served, Change: "type_changed",
		Detail: fmt.Sprintf("expected %s, got %s", c.typed, served)}
}
