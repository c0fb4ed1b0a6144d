package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A reader of one tenant is kept to it by row-level security. On each table a
// permissive policy lets everybody go on as before, and a restrictive one holds
// the reader to its tenant; its name begins with tenantReader. Views check the
// rights of whoever asks (security_invoker), or they would show their owner's
// rows; a view that a migration replaces loses that, and gets it back here.
//
// Nothing is granted ahead: a table that is made later, which has no policy yet,
// is closed to such a reader until [GrantReadTenant] is called again.
const tenantReader = "tenant_reader_"

// ourRelations finds tables and views by kind; $1 is a list of relkinds.
const ourRelations = `
	SELECT format('%I.%I', n.nspname, c.relname)
	FROM pg_catalog.pg_class AS c
	JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('bi', 'defender', 'hunting', 'sync') AND c.relkind::text = ANY ($1::text[])`

// GrantReadTenant lets role read the rows of one tenant in every table and view,
// and nothing of another's. It takes back what [GrantRead] has granted ahead. To
// be called again when hunting tables were added.
func GrantReadTenant(ctx context.Context, pool *pgxpool.Pool, role, tenantID string) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		oid, err := restrictable(ctx, tx, role)
		if err == nil {
			err = standsAlone(ctx, tx, role, tenantID)
		}
		if err != nil {
			return err
		}
		to := pgx.Identifier{role}.Sanitize()
		statements, err := tenantGrants(ctx, tx, to, fmt.Sprint(tenantReader, oid), tenantID)
		if err != nil {
			return err
		}
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return withoutPayload(ctx, tx, to)
	})
	if err != nil {
		return explainGrant(ctx, pool, role, err)
	}
	return nil
}

// restrictable returns the role's oid, unless row-level security would not hold it.
func restrictable(ctx context.Context, tx pgx.Tx, role string) (oid uint32, err error) {
	const look = `
		SELECT current_setting('server_version_num')::int, r.oid, r.rolsuper OR r.rolbypassrls, r.rolcreaterole,
			EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
				WHERE n.nspname IN ('bi', 'defender', 'hunting', 'sync') AND pg_has_role(r.oid, c.relowner, 'MEMBER'))
		FROM pg_catalog.pg_roles AS r
		WHERE r.rolname = $1`
	var version int
	var bypasses, makesRoles, owns bool
	err = tx.QueryRow(ctx, look, role).Scan(&version, &oid, &bypasses, &makesRoles, &owns)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("there is no role %s; run CREATE ROLE %s LOGIN first", role, pgx.Identifier{role}.Sanitize())
	case err != nil:
		return 0, err
	case version < 150000:
		return 0, errors.New("row-level security needs PostgreSQL 15 or newer, in which views check the rights of whoever reads them")
	case bypasses:
		return 0, fmt.Errorf("role %s is a superuser or has BYPASSRLS: row-level security does not hold it", role)
	case makesRoles && version < 160000:
		return 0, fmt.Errorf("role %s has CREATEROLE, with which it makes itself a member of any role; run ALTER ROLE %s NOCREATEROLE", role, pgx.Identifier{role}.Sanitize())
	case owns:
		return 0, fmt.Errorf("role %s owns tables here, or is a member of the role that does: row-level security does not hold it", role)
	}
	return oid, nil
}

// standsAlone refuses a role that is a member of one that may read more than the
// tenant, at however many removes: it needs only to SET ROLE, and inherits what that
// one is granted ahead. To be a member of one that is held to the same tenant is
// allowed.
func standsAlone(ctx context.Context, tx pgx.Tx, role, tenantID string) error {
	// A view with security_invoker is as open as its tables, of which those count that
	// have tenants. The second column is what the role itself was made a member of, on
	// the way to m.
	const look = `
		SELECT m.rolname, coalesce((SELECT min(d.rolname) FROM pg_catalog.pg_auth_members AS a JOIN pg_catalog.pg_roles AS d ON d.oid = a.roleid
			WHERE a.member = r.oid AND pg_has_role(d.oid, m.oid, 'MEMBER')), m.rolname)
		FROM pg_catalog.pg_roles AS r
		JOIN pg_catalog.pg_roles AS m ON m.oid <> r.oid AND pg_has_role(r.oid, m.oid, 'MEMBER')
		WHERE r.rolname = $1 AND (m.rolsuper OR m.rolbypassrls OR EXISTS (
			SELECT FROM pg_catalog.pg_class AS c
			JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname IN ('bi', 'defender', 'hunting', 'sync')
				AND (c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
						WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
					OR c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false))
				AND has_any_column_privilege(m.oid, c.oid, 'SELECT')
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p
					WHERE p.polrelid = c.oid AND p.polname = $2 || m.oid
						AND pg_get_expr(p.polqual, p.polrelid) = format('(tenant_id = %L::uuid)', $3::uuid))))
		ORDER BY m.rolname
		LIMIT 1`
	var other, by string
	err := tx.QueryRow(ctx, look, role, tenantReader, tenantID).Scan(&other, &by)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("role %s is a member of role %s, which may read more than the tenant, and with SET ROLE so may it; run REVOKE %s FROM %s, or make a role that is a member of none",
		role, other, pgx.Identifier{by}.Sanitize(), pgx.Identifier{role}.Sanitize())
}

// tenantGrants lists what to execute for one reader. No part of it can be a parameter.
func tenantGrants(ctx context.Context, tx pgx.Tx, role, policy, tenantID string) ([]string, error) {
	const hasTenant = ` AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
		WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)`
	const open = hasTenant + ` AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'everyone')`
	const it = "\x00" // stands for the object; no name holds it
	var all []string
	each := func(filter, kinds string, statements ...string) error {
		rows, err := tx.Query(ctx, ourRelations+filter, strings.Split(kinds, ""))
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			for _, s := range statements {
				all = append(all, strings.ReplaceAll(s, it, name))
			}
		}
		return err
	}
	for _, schema := range []string{"bi", "defender", "hunting", "sync"} {
		all = append(all, "GRANT USAGE ON SCHEMA "+schema+" TO "+role,
			"ALTER DEFAULT PRIVILEGES IN SCHEMA "+schema+" REVOKE SELECT ON TABLES FROM "+role)
	}
	for _, step := range []error{
		each(open, "rp", "ALTER TABLE "+it+" ENABLE ROW LEVEL SECURITY", "CREATE POLICY everyone ON "+it+" USING (true) WITH CHECK (true)"),
		each(hasTenant, "rp", "DROP POLICY IF EXISTS "+policy+" ON "+it,
			"CREATE POLICY "+policy+" ON "+it+" AS RESTRICTIVE FOR SELECT TO "+role+" USING (tenant_id = "+quoteLiteral(tenantID)+"::uuid)"),
		each("", "v", "ALTER VIEW "+it+" SET (security_invoker = true)"),
		each("", "rpv", "GRANT SELECT ON "+it+" TO "+role),
	} {
		if step != nil {
			return nil, step
		}
	}
	return all, nil
}

// quoteLiteral quotes a text that need not be trusted.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// replacedViews lists what gives the views back what a migration that replaced
// them took, where there is a reader of one tenant: of views that this role may
// have replaced, or with all of every view. Another role's is not ours to change,
// and nothing of it is granted to the reader.
func replacedViews(ctx context.Context, pool *pgxpool.Pool, all bool) ([]string, error) {
	const list = ourRelations + `
		AND ($2 OR NOT coalesce('security_invoker=true' = ANY (c.reloptions), false) AND pg_has_role(c.relowner, 'USAGE'))
		AND EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polname LIKE 'tenant\_reader\_%')
		ORDER BY 1`
	rows, err := pool.Query(ctx, list, []string{"v"}, all)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var name string
		err := row.Scan(&name)
		return "ALTER VIEW IF EXISTS " + name + " SET (security_invoker = true)", err
	})
}

// secureViews does so.
func secureViews(ctx context.Context, pool *pgxpool.Pool) error {
	statements, err := replacedViews(ctx, pool, false)
	for _, sql := range statements {
		if err == nil {
			_, err = pool.Exec(ctx, sql)
		}
	}
	return err
}
