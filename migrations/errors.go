package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// NewerError says that a newer program has migrated the database: this one
// would misread what it holds, or overwrite it with less.
type NewerError struct{ Database, Program int64 } // versions of the schema

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the database's schema (version %d) is newer than this program's (%d): use the newer program", e.Database, e.Program)
}

// explain wraps err, and says which GRANT is missing where a privilege is, or
// that the database takes no writes.
func explain(ctx context.Context, pool *pgxpool.Pool, verb string, err error) error {
	if errors.As(err, new(*NewerError)) {
		return err
	}
	if isCode(err, "25006") {
		return fmt.Errorf("migrations: %s: the database is read-only: point database.url at the primary, with a role that may write: %w", verb, err)
	}
	if !isCode(err, "42501") {
		return fmt.Errorf("migrations: %s: %w", verb, err)
	}
	var role, database string
	var mayCreate bool
	const who = `SELECT current_user, current_database(), has_database_privilege(current_database(), 'CREATE')`
	if e := pool.QueryRow(ctx, who).Scan(&role, &database, &mayCreate); e != nil {
		return fmt.Errorf("migrations: %s: %w", verb, err)
	}
	role, database = pgx.Identifier{role}.Sanitize(), pgx.Identifier{database}.Sanitize()
	if !mayCreate {
		return fmt.Errorf("migrations: %s: role %s may not create schemas; as the owner of the database run GRANT CREATE ON DATABASE %s TO %s: %w",
			verb, role, database, role, err)
	}
	return fmt.Errorf("migrations: %s: role %s does not own the schemas defender, hunting and sync; migrate as the role that created them, or as that role run GRANT it TO %s: %w",
		verb, role, role, err)
}

// isCode reports whether err is PostgreSQL's with one of the SQLSTATEs.
func isCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains(codes, pg.Code)
}
