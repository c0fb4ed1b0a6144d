package migrations

import (
	"context"
	"errors"
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

// HuntingError says which generated migrations could not be applied. Each holds
// up the streams of its own table, and nothing else.
type HuntingError struct{ Failed []HuntingFailure }

// HuntingFailure is one of them, and why. Later ones of its table were not tried.
type HuntingFailure struct {
	Migration
	Err error // names the migration
}

// Error implements error.
func (e *HuntingError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns why, for each.
func (e *HuntingError) Unwrap() []error {
	var all []error
	for _, f := range e.Failed {
		all = append(all, f.Err)
	}
	return all
}

// UpHunting applies what is pending for one table of the schema hunting, in
// order and up to the first that fails. Of several processes that call it at
// once one applies each.
func UpHunting(ctx context.Context, pool *pgxpool.Pool, table string) error {
	all, err := listGenerated(ctx, pool)
	if err != nil {
		return explain(ctx, pool, "list", err)
	}
	_, err = upGenerated(ctx, pool, pendingOf(all, table))
	return err
}

// TryHunting returns why what is pending for a table cannot be applied, by doing
// so in a transaction that is rolled back. A table that is in use for long says
// nothing against it.
func TryHunting(ctx context.Context, pool *pgxpool.Pool, table string) error {
	const patience = `SET LOCAL lock_timeout = '2s'`
	all, err := listGenerated(ctx, pool)
	if err != nil {
		return explain(ctx, pool, "list", err)
	}
	tx, err := pool.Begin(ctx)
	if err != nil {
		return explain(ctx, pool, "try", err)
	}
	_, err = tx.Exec(ctx, patience)
	for _, g := range pendingOf(all, table) {
		if err == nil {
			_, err = tx.Exec(ctx, g.up)
		}
		if err != nil && !isCode(err, "55P03") {
			_ = tx.Rollback(ctx) // first: what is missing is asked of another connection
			return g.failed(ctx, pool, err)
		}
	}
	return tx.Rollback(ctx)
}

// HuntingSQL returns what is pending for one table of the schema hunting, as one
// transaction for an operator; empty when nothing is.
func HuntingSQL(ctx context.Context, pool *pgxpool.Pool, table string) (string, error) {
	all, err := listGenerated(ctx, pool)
	if err != nil {
		return "", explain(ctx, pool, "list", err)
	}
	return huntingSQL(ctx, pool, pendingOf(all, table))
}

func huntingSQL(ctx context.Context, pool *pgxpool.Pool, todo []generated) (string, error) {
	var b strings.Builder
	for _, g := range todo {
		b.WriteString(g.sql())
	}
	if b.Len() == 0 {
		return "", nil
	}
	return transaction(ctx, pool, b.String())
}

// upGenerated applies todo, and returns the names of those applied. Where one
// fails the others of its table wait for it, and the other tables do not. The
// error is then a [*HuntingError].
func upGenerated(ctx context.Context, pool *pgxpool.Pool, todo []generated) (applied []string, err error) {
	if len(todo) == 0 {
		return nil, nil
	}
	refused := make(map[string]error) // by table
	stuck := &HuntingError{}
	err = withProvider(ctx, pool, generatedSeries(todo), func(p *goose.Provider) error {
		for _, g := range todo {
			if refused[g.table] != nil {
				continue
			}
			_, err := p.ApplyVersion(ctx, g.version, true)
			var partial *goose.PartialError
			switch {
			case err == nil:
				applied = append(applied, generatedDir+g.name)
			case errors.Is(err, goose.ErrAlreadyApplied): // by another process since
			case errors.As(err, &partial) && ctx.Err() == nil:
				refused[g.table] = partial.Err
			default:
				return err
			}
		}
		return nil
	})
	for _, g := range todo { // with all connections given back, so that it can be asked what is missing
		if err := refused[g.table]; err != nil {
			stuck.Failed = append(stuck.Failed, HuntingFailure{g.public(), g.failed(ctx, pool, err)})
			delete(refused, g.table)
		}
	}
	switch {
	case err != nil:
		return applied, explain(ctx, pool, "apply", err)
	case len(stuck.Failed) > 0:
		return applied, stuck
	}
	return applied, nil
}

// failed wraps why the migration could not be applied.
func (g generated) failed(ctx context.Context, pool *pgxpool.Pool, err error) error {
	if lack := lacksHunting(ctx, pool, g.table, err); lack != "" {
		return fmt.Errorf("migrations: apply %s%s: %s: %w", generatedDir, g.name, lack, err)
	}
	return explain(ctx, pool, "apply "+generatedDir+g.name, err)
}

// downGenerated takes one generated migration back, and returns none where there
// is none. Whatever is not applied goes first: to forget it costs nothing, while
// with a table its data goes, and it may be the table that stands in the way of
// one that cannot be made. Of equals the newest goes.
func downGenerated(ctx context.Context, pool *pgxpool.Pool) (Migration, error) {
	all, err := listGenerated(ctx, pool)
	if err != nil || len(all) == 0 {
		return Migration{}, err
	}
	last := all[len(all)-1]
	if waiting := pendingOf(all, ""); len(waiting) > 0 {
		last = waiting[len(waiting)-1]
		return last.public(), last.forget(ctx, pool)
	}
	return last.public(), withProvider(ctx, pool, generatedSeries([]generated{last}), func(p *goose.Provider) error {
		_, err := p.ApplyVersion(ctx, last.version, false)
		return err
	})
}

// forget removes a migration that is not applied. Its stream asks for it anew.
func (g generated) forget(ctx context.Context, pool *pgxpool.Pool) error {
	const lock = `LOCK TABLE sync.hunting_migrations IN SHARE ROW EXCLUSIVE MODE` // as whoever writes one down does, and first
	const hold = `SELECT FROM sync.hunting_migrations WHERE version = $1 AND name = $2 FOR UPDATE`
	const isApplied = `SELECT EXISTS (SELECT FROM sync.goose_hunting_version WHERE version_id = $1 AND is_applied)`
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, hold, g.version, g.name) // whoever applies it holds it, too
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		var applied bool
		if err := tx.QueryRow(ctx, isApplied, g.version).Scan(&applied); err != nil {
			return err
		}
		if applied {
			return fmt.Errorf("%s%s was applied meanwhile", generatedDir, g.name)
		}
		_, err = tx.Exec(ctx, g.forgetSQL())
		return err
	})
}

func (g generated) forgetSQL() string {
	return fmt.Sprintf("DELETE FROM sync.hunting_columns WHERE version = %d;\nDELETE FROM sync.hunting_migrations WHERE version = %d;", g.version, g.version)
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
// goose, which would otherwise look for the ends of statements itself. Up, it
// makes sure that the migration was not forgotten since it was read, and that it
// is not until this is committed; down, it forgets the migration, which its
// stream then asks for anew.
func (g generated) file() string {
	const form = "-- +goose Up\n-- +goose StatementBegin\n%s\n%s\n-- +goose StatementEnd\n\n-- +goose Down\n-- +goose StatementBegin\n%s\n%s\n-- +goose StatementEnd\n"
	const hold = `DO $$ BEGIN
    PERFORM 1 FROM sync.hunting_migrations WHERE version = %d AND name = %s FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'the migration was taken back meanwhile'; END IF;
END $$;`
	return fmt.Sprintf(form, fmt.Sprintf(hold, g.version, quoteLiteral(g.name)), g.up, g.down, g.forgetSQL())
}

// sql returns the migration with its entry in the ledger, to be applied by hand.
func (g generated) sql() string {
	return fmt.Sprintf("\n-- %s%s\n%s\n\nINSERT INTO %s (version_id, is_applied) VALUES (%d, true);\n",
		generatedDir, g.name, strings.TrimSpace(g.up), generatedTable, g.version)
}

// public is what the world sees of it.
func (g generated) public() Migration {
	return Migration{Version: g.version, Name: generatedDir + g.name, Table: g.table, AppliedAt: g.appliedAt}
}

// pendingOf returns those of a table, or with "" of all, that are not applied.
func pendingOf(all []generated, table string) []generated {
	var todo []generated
	for _, g := range all {
		if g.appliedAt.IsZero() && (table == "" || g.table == table) {
			todo = append(todo, g)
		}
	}
	return todo
}
