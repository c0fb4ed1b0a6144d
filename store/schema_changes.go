package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// SchemaChanges returns what was recorded about one object of a tenant, the
// oldest first.
func (s *Store) SchemaChanges(ctx context.Context, tenantID, object string) ([]SchemaChange, error) {
	const list = `
		SELECT object, property, change, detail
		FROM sync.schema_changes
		WHERE tenant_id = $1 AND object = $2
		ORDER BY first_seen_at, id`
	rows, err := s.pool.Query(ctx, list, tenantID, object)
	if err != nil {
		return nil, fmt.Errorf("store: list schema changes of %s: %w", object, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SchemaChange])
	if err != nil {
		return nil, fmt.Errorf("store: list schema changes of %s: %w", object, err)
	}
	return all, nil
}
