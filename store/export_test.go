package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenWith is [Open] for tests that look at, or into, the connection.
func OpenWith(ctx context.Context, url string, change func(*pgxpool.Config)) (*Store, error) {
	config, err := poolConfig(url, 4)
	if err != nil {
		return nil, err
	}
	change(config)
	return openPool(ctx, config)
}

// LimitIndex makes r write its index to a file from n rows on.
func LimitIndex(r *HuntRows, n int) { r.index.limit = n }
