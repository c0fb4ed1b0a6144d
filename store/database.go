package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// DatabaseInfo is what doctor tells about the database.
type DatabaseInfo struct {
	Version   string // such as "15.18 (Debian 15.18-0+deb12u1)"
	VersionNo int    // such as 150018
	Name      string
	Role      string
	SizeBytes int64
	ReadOnly  bool // a standby, or a role that may only read

	// MissingPrivileges is what the role lacks to read and write, MissingToMigrate
	// what it lacks to make the schemas and the tables of hunting besides: each as
	// the statement that grants it, and empty when nothing is missing.
	MissingPrivileges, MissingToMigrate []string

	// SchemaOwner is a role that owns a schema of ours and that this one is not (a
	// member of), so that migrations are that role's to apply; "" where there is none.
	SchemaOwner string
}

// Database describes the database and what the role may do there.
func (s *Store) Database(ctx context.Context) (DatabaseInfo, error) {
	const describe = `
		SELECT current_setting('server_version'), current_setting('server_version_num')::integer,
			current_database(), current_user, pg_database_size(current_database()),
			current_setting('transaction_read_only')::boolean,
			count(n.oid) = count(*) OR has_database_privilege(current_database(), 'CREATE'),
			-- Whoever made the schema, a right to make others is of no use in it.
			coalesce(bool_and(has_schema_privilege(n.oid, 'CREATE')) FILTER (WHERE v.name = 'hunting'), true),
			coalesce(min(pg_get_userbyid(n.nspowner)) FILTER (WHERE NOT pg_has_role(n.nspowner, 'USAGE')), '')
		FROM (VALUES ('bi'), ('defender'), ('hunting'), ('sync')) AS v (name)
		LEFT JOIN pg_namespace AS n ON n.nspname = v.name`
	var d DatabaseInfo
	var makesSchemas, makesTables bool
	row := s.pool.QueryRow(ctx, describe)
	err := row.Scan(&d.Version, &d.VersionNo, &d.Name, &d.Role, &d.SizeBytes, &d.ReadOnly, &makesSchemas, &makesTables, &d.SchemaOwner)
	if err != nil {
		return DatabaseInfo{}, fmt.Errorf("store: describe database: %w", err)
	}
	role := pgx.Identifier{d.Role}.Sanitize()
	if !makesSchemas {
		d.MissingToMigrate = append(d.MissingToMigrate,
			fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", pgx.Identifier{d.Name}.Sanitize(), role))
	}
	if !makesTables {
		d.MissingToMigrate = append(d.MissingToMigrate, fmt.Sprintf("GRANT CREATE ON SCHEMA hunting TO %s", role))
	}
	d.MissingPrivileges, err = s.missingGrants(ctx, role)
	if err != nil {
		return DatabaseInfo{}, fmt.Errorf("store: list privileges: %w", err)
	}
	return d, nil
}

// missingGrants returns what the role lacks to read and write the tables that exist.
func (s *Store) missingGrants(ctx context.Context, role string) ([]string, error) {
	const lacking = `
		SELECT n.nspname,
			NOT has_schema_privilege(n.oid, 'USAGE'),
			coalesce(bool_or(NOT (
				has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
			)), false)
		FROM pg_namespace AS n
		LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
		WHERE n.nspname IN ('defender', 'hunting', 'sync')
		GROUP BY n.oid, n.nspname
		ORDER BY n.nspname`
	rows, err := s.pool.Query(ctx, lacking)
	if err != nil {
		return nil, err
	}
	var missing []string
	var schema string
	var usage, tables bool
	_, err = pgx.ForEachRow(rows, []any{&schema, &usage, &tables}, func() error {
		if usage {
			missing = append(missing, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", schema, role))
		}
		if tables {
			missing = append(missing, fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s", schema, role))
		}
		return nil
	})
	return missing, err
}
