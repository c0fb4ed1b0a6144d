package migrations

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// The migrations of hunting tables are written by the program when it meets a
// table or a column, and kept in sync.hunting_migrations. They are goose's like
// those of the files, with a ledger of their own: which tables there are is each
// database's own business, and no version of the program can number them.

// generatedTable is goose's ledger of the generated migrations.
const generatedTable = "sync.goose_hunting_version"

// generatedDir comes before the names of generated migrations where they are
// listed together with files.
const generatedDir = "hunting/"

// generated is one row of sync.hunting_migrations.
type generated struct {
	version   int64
	name      string // such as "00001_device_events.sql"
	table     string
	up, down  string
	appliedAt time.Time // zero while it is pending
}

// UpHunting applies the generated migrations that are pending, and returns
// their names. Of several processes that call it at once one applies each.
func UpHunting(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	applied, err := upGenerated(ctx, pool)
	if err != nil {
		return nil, explain(ctx, pool, "apply", err)
	}
	return applied, nil
}

// HuntingSQL returns what is pending for one table of the schema hunting, as one
// transaction for an operator; empty when nothing is.
func HuntingSQL(ctx context.Context, pool *pgxpool.Pool, table string) (string, error) {
	all, err := listGenerated(ctx, pool)
	if err != nil {
		return "", explain(ctx, pool, "list", err)
	}
	var b strings.Builder
	for _, g := range all {
		if g.table == table && g.appliedAt.IsZero() {
			b.WriteString(g.sql())
		}
	}
	if b.Len() == 0 {
		return "", nil
	}
	return transaction(ctx, pool, b.String())
}

func upGenerated(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	all, err := listGenerated(ctx, pool)
	if err != nil || pending(all) == 0 {
		return nil, err
	}
	var applied []*goose.MigrationResult
	err = withProvider(ctx, pool, generatedSeries(all), func(p *goose.Provider) (err error) {
		applied, err = p.Up(ctx)
		return err
	})
	return prefixed(names(applied)), err
}

// downGenerated takes the newest generated migration back, and returns "" when
// none is applied.
func downGenerated(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	all, err := listGenerated(ctx, pool)
	if err != nil || pending(all) == len(all) {
		return "", err
	}
	var undone *goose.MigrationResult
	err = withProvider(ctx, pool, generatedSeries(all), func(p *goose.Provider) (err error) {
		undone, err = p.Down(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	return generatedDir + undone.Source.Path, nil
}

// listGenerated reads the generated migrations in order; there are none before
// the schema knows of them.
func listGenerated(ctx context.Context, pool *pgxpool.Pool) ([]generated, error) {
	const exists = `SELECT to_regclass('sync.hunting_migrations') IS NOT NULL`
	// goose writes local time without a zone.
	const list = `
		SELECT m.version, m.name, m.table_name, m.up_sql, m.down_sql,
			(SELECT max(v.tstamp)::timestamptz FROM sync.goose_hunting_version AS v WHERE v.version_id = m.version AND v.is_applied)
		FROM sync.hunting_migrations AS m
		ORDER BY m.version`
	var there bool
	if err := pool.QueryRow(ctx, exists).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := pool.Query(ctx, list)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (generated, error) {
		var g generated
		var at *time.Time
		err := row.Scan(&g.version, &g.name, &g.table, &g.up, &g.down, &at)
		if at != nil {
			g.appliedAt = *at
		}
		return g, err
	})
}

// generatedSeries makes files of them, for goose to read.
func generatedSeries(all []generated) series {
	files := memory{}
	for _, g := range all {
		files[g.name] = g.file()
	}
	return series{files: files, table: generatedTable}
}

// file returns the migration as goose reads it. Each way is one statement to
// goose, which would otherwise look for the ends of statements itself.
func (g generated) file() string {
	const form = "-- +goose Up\n-- +goose StatementBegin\n%s\n-- +goose StatementEnd\n\n-- +goose Down\n-- +goose StatementBegin\n%s\n-- +goose StatementEnd\n"
	return fmt.Sprintf(form, g.up, g.down)
}

// sql returns the migration with its entry in the ledger, to be applied by hand.
func (g generated) sql() string {
	return fmt.Sprintf("\n-- %s%s\n%s\n\nINSERT INTO %s (version_id, is_applied) VALUES (%d, true);\n",
		generatedDir, g.name, strings.TrimSpace(g.up), generatedTable, g.version)
}

// pending counts those that are not applied.
func pending(all []generated) int {
	n := 0
	for _, g := range all {
		if g.appliedAt.IsZero() {
			n++
		}
	}
	return n
}

func prefixed(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, generatedDir+n)
	}
	return all
}
