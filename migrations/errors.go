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

// explain wraps err, and says what the role lacks where that is the reason, or
// that the database takes no writes.
func explain(ctx context.Context, pool *pgxpool.Pool, verb string, err error) error {
	if errors.As(err, new(*NewerError)) {
		return err
	}
	if isCode(err, "25006") {
		return fmt.Errorf("migrations: %s: the database is read-only: point database.url at the primary, with a role that may write: %w", verb, err)
	}
	if lack := lacks(ctx, pool, err); lack != "" {
		return fmt.Errorf("migrations: %s: %s: %w", verb, lack, err)
	}
	return fmt.Errorf("migrations: %s: %w", verb, err)
}

// lacks says what the role lacks for the files, and who can give it; "" where
// err is about something else.
func lacks(ctx context.Context, pool *pgxpool.Pool, err error) string {
	const who = `
		SELECT current_user, current_database(),
			count(n.oid) < count(*) AND NOT has_database_privilege(current_database(), 'CREATE'),
			coalesce(min(pg_get_userbyid(n.nspowner)) FILTER (WHERE NOT pg_has_role(n.nspowner, 'USAGE')), '')
		FROM (VALUES ('bi'), ('defender'), ('hunting'), ('sync')) AS v (name)
		LEFT JOIN pg_namespace AS n ON n.nspname = v.name`
	if !isCode(err, "42501") {
		return ""
	}
	var role, database, owner string
	var mayNotCreate bool
	if e := pool.QueryRow(ctx, who).Scan(&role, &database, &mayNotCreate, &owner); e != nil {
		return ""
	}
	switch {
	case mayNotCreate:
		return fmt.Sprintf("role %s may not create schemas; as the owner of the database run GRANT CREATE ON DATABASE %s TO %s",
			quoted(role), quoted(database), quoted(role))
	case owner != "":
		return fmt.Sprintf("role %s does not own the schemas of defendersync, %s does; %s", quoted(role), quoted(owner), become(ctx, pool, owner, role))
	}
	return ""
}

// lacksHunting is [lacks] for a generated migration of a table. A right to make
// schemas is of no use there: the schema is another role's, or its table is.
func lacksHunting(ctx context.Context, pool *pgxpool.Pool, table string, err error) string {
	const who = `
		SELECT current_user, pg_get_userbyid(n.nspowner), has_schema_privilege(n.oid, 'CREATE'),
			coalesce(min(pg_get_userbyid(c.relowner)) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE')), '')
		FROM pg_namespace AS n
		LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname::text IN ($1::text, $1::text || '_current')
		WHERE n.nspname = 'hunting'
		GROUP BY n.oid, n.nspowner`
	if !isCode(err, "42501") {
		return ""
	}
	var role, schemaOwner, owner string
	var mayCreate bool
	if e := pool.QueryRow(ctx, who, table).Scan(&role, &schemaOwner, &mayCreate, &owner); e != nil {
		return ""
	}
	switch {
	case !mayCreate:
		return fmt.Sprintf("role %s may not make tables in the schema hunting; as its owner %s run GRANT CREATE ON SCHEMA hunting TO %s",
			quoted(role), quoted(schemaOwner), quoted(role))
	case owner != "":
		return fmt.Sprintf("role %s does not own hunting.%s, %s does; %s", quoted(role), table, quoted(owner), become(ctx, pool, owner, role))
	}
	return ""
}

// become says how role comes to what is owner's. Nobody is made a superuser.
func become(ctx context.Context, pool *pgxpool.Pool, owner, role string) string {
	const super = `SELECT rolsuper FROM pg_roles WHERE rolname = $1`
	var is bool
	if err := pool.QueryRow(ctx, super, owner).Scan(&is); err != nil || is {
		return "migrate as that role"
	}
	return fmt.Sprintf("migrate as that role, or as it run GRANT %s TO %s", quoted(owner), quoted(role))
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// isCode reports whether err is PostgreSQL's with one of the SQLSTATEs.
func isCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains(codes, pg.Code)
}
