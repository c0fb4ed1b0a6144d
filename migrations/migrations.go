// Package migrations holds the schema as numbered goose files and is the one
// way to apply them, and those that the program writes for hunting tables.
// Several workers may call it at once: a session lock lets one through, and the
// others find nothing left to do.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed 0*.sql
var files embed.FS

// versionTable is goose's ledger. It lies in our own schema because since
// PostgreSQL 15 an ordinary role may not create tables in public.
const versionTable = "sync.goose_db_version"

// Migration is one numbered file, or one that was generated for a hunting
// table: its name begins "hunting/", and it is numbered apart.
type Migration struct {
	Version   int64
	Name      string    // file name
	Table     string    // the hunting table; "" for a file
	AppliedAt time.Time // zero while it is pending
}

// series is migrations that are numbered together: their files, and goose's
// ledger of those applied.
type series struct {
	files fs.FS
	table string
}

// Up applies what is pending, each migration in its own transaction and the
// generated ones last, and returns the names of those applied, also beside an
// error. A generated one that fails stops only those of its table, and is told
// by a [*HuntingError]. Up waits up to five minutes for another process that is
// migrating.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	applied, err := UpFiles(ctx, pool)
	if err != nil {
		return applied, err
	}
	all, err := listGenerated(ctx, pool)
	if err != nil {
		return applied, explain(ctx, pool, "list", err)
	}
	tables, err := upGenerated(ctx, pool, pendingOf(all, ""))
	return append(applied, tables...), err
}

// UpFiles is [Up] of the files, which every command needs. What is generated is
// each stream's own to apply, when it needs it.
func UpFiles(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	var applied []*goose.MigrationResult
	err := withProvider(ctx, pool, embedded(), func(p *goose.Provider) (err error) {
		applied, err = p.Up(ctx)
		return err
	})
	var partial *goose.PartialError
	switch {
	case errors.As(err, &partial):
		return names(partial.Applied), explain(ctx, pool, "apply "+partial.Failed.Source.Path, partial.Err)
	case err != nil:
		return nil, explain(ctx, pool, "apply", err)
	}
	return names(applied), nil
}

// Down takes one migration back and returns it, or the zero one where there is
// none. The data in what it drops is lost. Generated ones go before the files,
// and of them any that is not applied before any that is: that one is forgotten,
// and the Migration returned has no AppliedAt. Of equals the newest goes.
func Down(ctx context.Context, pool *pgxpool.Pool) (Migration, error) {
	if err := requireKnown(ctx, pool); err != nil {
		return Migration{}, err
	}
	switch m, err := downGenerated(ctx, pool); {
	case err != nil:
		return Migration{}, explain(ctx, pool, strings.TrimSpace("take back "+m.Name), err)
	case m.Name != "":
		return m, nil
	}
	all, err := fileStatus(ctx, pool)
	if err != nil {
		return Migration{}, err
	}
	var undone *goose.MigrationResult
	err = withProvider(ctx, pool, embedded(), func(p *goose.Provider) (err error) {
		undone, err = p.Down(ctx)
		return err
	})
	switch {
	case errors.Is(err, goose.ErrNoNextVersion):
		return Migration{}, nil
	case err != nil:
		return Migration{}, explain(ctx, pool, "take back", err)
	}
	i := slices.IndexFunc(all, func(m Migration) bool { return m.Version == undone.Source.Version })
	return all[i], nil
}

// DownTo takes back every file above version, newest first, and returns their
// names. With the file that makes the schema hunting goes every table that was
// generated in it. 0 takes back all: nothing of ours is left but goose's ledger
// in the schema sync.
func DownTo(ctx context.Context, pool *pgxpool.Pool, version int64) ([]string, error) {
	var undone []*goose.MigrationResult
	err := withProvider(ctx, pool, embedded(), func(p *goose.Provider) (err error) {
		undone, err = p.DownTo(ctx, version)
		return err
	})
	if err != nil {
		return nil, explain(ctx, pool, "take back", err)
	}
	return names(undone), nil
}

// Status lists every migration known to this program, oldest first, and then
// the generated ones. Unlike goose's own it only reads, so that it also answers
// a role that may not write. The error is a [*NewerError] where the database is
// ahead of this program.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]Migration, error) {
	all, err := fileStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	tables, err := listGenerated(ctx, pool)
	if err != nil {
		return nil, explain(ctx, pool, "list", err)
	}
	for _, g := range tables {
		all = append(all, g.public())
	}
	return all, nil
}

// fileStatus is [Status] of the files.
func fileStatus(ctx context.Context, pool *pgxpool.Pool) ([]Migration, error) {
	known, err := list()
	if err != nil {
		return nil, err
	}
	applied, err := appliedAt(ctx, pool)
	if err != nil {
		return nil, explain(ctx, pool, "list", err)
	}
	ours := known[len(known)-1].Version
	if theirs := slices.Max(append(slices.Collect(maps.Keys(applied)), ours)); theirs > ours {
		return nil, &NewerError{Database: theirs, Program: ours}
	}
	for i := range known {
		known[i].AppliedAt = applied[known[i].Version]
	}
	return known, nil
}

// Current reports whether no file is pending. A generated migration that is
// does not count: nothing waits for it but its own table's streams. The error is
// as for [Status].
func Current(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	all, err := fileStatus(ctx, pool)
	if err != nil {
		return false, err
	}
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			return false, nil
		}
	}
	return true, nil
}

// appliedAt reads goose's ledger; it is empty where there is none yet.
func appliedAt(ctx context.Context, pool *pgxpool.Pool) (map[int64]time.Time, error) {
	const exists = `SELECT to_regclass($1) IS NOT NULL`
	// goose writes local time without a zone. A migration that is taken back loses its row.
	const applied = `
		SELECT version_id, max(tstamp)::timestamptz
		FROM sync.goose_db_version
		WHERE is_applied
		GROUP BY version_id`
	var there bool
	if err := pool.QueryRow(ctx, exists, versionTable).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := pool.Query(ctx, applied)
	if err != nil {
		return nil, err
	}
	versions := map[int64]time.Time{}
	var version int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		versions[version] = at
		return nil
	})
	return versions, err
}

// list returns the embedded files, oldest first.
func list() ([]Migration, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("migrations: list files: %w", err)
	}
	var all []Migration
	for _, e := range entries {
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			return nil, fmt.Errorf("migrations: number of %s: %w", e.Name(), err)
		}
		all = append(all, Migration{Version: version, Name: e.Name()})
	}
	return all, nil
}

// requireKnown refuses a database that only a newer program understands.
func requireKnown(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := fileStatus(ctx, pool); errors.As(err, new(*NewerError)) {
		return err
	}
	return nil
}

// embedded is the series of the files.
func embedded() series { return series{files: files, table: versionTable} }

// withProvider calls f with a provider of s over the pool's connections, unless
// the database is one that only a newer program understands.
func withProvider(ctx context.Context, pool *pgxpool.Pool, s series, f func(*goose.Provider) error) error {
	if err := requireKnown(ctx, pool); err != nil {
		return err
	}
	if err := ensureSchema(ctx, pool); err != nil {
		return err
	}
	locker, err := newLocker(pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, s.files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithSessionLocker(locker),
		goose.WithTableName(s.table),
		// Whoever applies generated migrations by hand may begin with any table.
		goose.WithAllowOutofOrder(s.table == generatedTable),
		goose.WithLogger(goose.NopLogger()), // what was done is returned, and the caller tells
	)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = f(p)
	if secured := secureViews(ctx, pool); err == nil { // also of a series that stopped half-way
		err = secured
	}
	return errors.Join(err, p.Close())
}

// ensureSchema makes the schema that goose's ledger lies in. It looks first,
// because CREATE SCHEMA IF NOT EXISTS asks for the privilege even where there
// is nothing to create.
func ensureSchema(ctx context.Context, pool *pgxpool.Pool) error {
	const exists = `SELECT to_regnamespace('sync') IS NOT NULL`
	var there bool
	if err := pool.QueryRow(ctx, exists).Scan(&there); err != nil || there {
		return err
	}
	_, err := pool.Exec(ctx, createSchema)
	if isCode(err, "23505", "42P06") { // another process was faster
		return nil
	}
	return err
}

const createSchema = `CREATE SCHEMA IF NOT EXISTS sync`

// names returns the file names of results.
func names(results []*goose.MigrationResult) []string {
	var all []string
	for _, r := range results {
		all = append(all, r.Source.Path)
	}
	return all
}
