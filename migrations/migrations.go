// Package migrations holds the schema as numbered goose files and is the one
// way to apply them. Several workers may call it at once: a session lock lets
// one through, and the others find nothing left to do.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed 0*.sql
var files embed.FS

// versionTable is goose's ledger. It lies in our own schema because since
// PostgreSQL 15 an ordinary role may not create tables in public.
const versionTable = "sync.goose_db_version"

// Migration is one numbered file.
type Migration struct {
	Version   int64
	Name      string    // file name
	AppliedAt time.Time // zero while it is pending
}

// Up applies what is pending, each file in its own transaction, and returns the
// names of the files applied. It waits up to five minutes for another process
// that is migrating.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	var applied []*goose.MigrationResult
	err := withProvider(ctx, pool, func(p *goose.Provider) (err error) {
		applied, err = p.Up(ctx)
		return err
	})
	if err != nil {
		return nil, explain(ctx, pool, "apply", err)
	}
	return names(applied), nil
}

// Down takes the newest migration back and returns its name, or "" when none
// is applied. The data in what it drops is lost.
func Down(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var undone *goose.MigrationResult
	err := withProvider(ctx, pool, func(p *goose.Provider) (err error) {
		undone, err = p.Down(ctx)
		return err
	})
	switch {
	case errors.Is(err, goose.ErrNoNextVersion):
		return "", nil
	case err != nil:
		return "", explain(ctx, pool, "take back", err)
	}
	return undone.Source.Path, nil
}

// DownTo takes back every migration above version, newest first, and returns
// their names. 0 takes back all: nothing of ours is left but goose's ledger in
// the schema sync.
func DownTo(ctx context.Context, pool *pgxpool.Pool, version int64) ([]string, error) {
	var undone []*goose.MigrationResult
	err := withProvider(ctx, pool, func(p *goose.Provider) (err error) {
		undone, err = p.DownTo(ctx, version)
		return err
	})
	if err != nil {
		return nil, explain(ctx, pool, "take back", err)
	}
	return names(undone), nil
}

// Status lists every migration known to this program, oldest first. Unlike
// goose's own it only reads, so that it also answers a role that may not write.
// The error is a [*NewerError] where the database is ahead of this program.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]Migration, error) {
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

// Current reports whether nothing is pending. Its error is as for [Status].
func Current(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	all, err := Status(ctx, pool)
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

// withProvider calls f with a provider over the pool's connections, unless the
// database is one that only a newer program understands.
func withProvider(ctx context.Context, pool *pgxpool.Pool, f func(*goose.Provider) error) error {
	if _, err := Status(ctx, pool); errors.As(err, new(*NewerError)) {
		return err
	}
	if err := ensureSchema(ctx, pool); err != nil {
		return err
	}
	// Polls every second: the default of five is a long wait for five workers that start at once.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithSessionLocker(locker),
		goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()), // what was done is returned, and the caller tells
	)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return errors.Join(f(p), p.Close())
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
