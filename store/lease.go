package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// HeldError says who holds the tenant. It is an [ErrLeaseHeld].
type HeldError struct {
	Owner string
	Until time.Time // when the hold ends unless renewed, by the database's clock
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s holds the tenant until %s", e.Owner, e.Until.Format(time.RFC3339))
}

// Unwrap returns [ErrLeaseHeld].
func (e *HeldError) Unwrap() error { return ErrLeaseHeld }

// Acquire takes the tenant for ttl, by the database's clock, if nobody holds
// it. The fence grows, so that whoever held it before can no longer write, and
// runs that a former holder left running are marked as interrupted. The error
// is a [*HeldError] while another worker, or this one, holds the tenant.
func (s *Store) Acquire(ctx context.Context, tenantID, owner string, ttl time.Duration) (Lease, error) {
	// A fresh row is free since ever. Two statements and not one upsert: the
	// clock must be read after the row's lock was waited for.
	const ensure = `
		INSERT INTO sync.leases (tenant_id, owner, until, fence)
		VALUES ($1, $2, '-infinity', 1)
		ON CONFLICT (tenant_id) DO NOTHING`
	const take = `
		UPDATE sync.leases
		SET owner = $2, until = clock_timestamp() + $3, fence = fence + 1, released_at = NULL
		WHERE tenant_id = $1 AND until <= clock_timestamp()
		RETURNING fence`
	const holder = `
		SELECT owner, until
		FROM sync.leases
		WHERE tenant_id = $1`
	const interrupt = `
		UPDATE sync.runs
		SET outcome = 'interrupted', finished_at = clock_timestamp(), error = 'its worker stopped without saying so'
		WHERE tenant_id = $1 AND outcome = 'running' AND fence < $2`
	lease := Lease{TenantID: tenantID, Owner: owner}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ensure, tenantID, owner); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, take, tenantID, owner, ttl).Scan(&lease.Fence)
		if errors.Is(err, pgx.ErrNoRows) {
			held := &HeldError{}
			if err := tx.QueryRow(ctx, holder, tenantID).Scan(&held.Owner, &held.Until); err != nil {
				return err
			}
			return held
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, interrupt, tenantID, lease.Fence)
		return err
	})
	if err != nil {
		return Lease{}, fmt.Errorf("store: acquire tenant %s: %w", tenantID, err)
	}
	return lease, nil
}

// Renew holds the tenant for ttl from now. A lease that ran out but that nobody
// took is good again. The error is [ErrFenced] when somebody took it.
func (s *Store) Renew(ctx context.Context, l Lease, ttl time.Duration) error {
	const renew = `
		UPDATE sync.leases
		SET until = clock_timestamp() + $4
		WHERE tenant_id = $1 AND owner = $2 AND fence = $3 AND released_at IS NULL`
	tag, err := s.pool.Exec(ctx, renew, l.TenantID, l.Owner, l.Fence, ttl)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: renew tenant %s: %w", l.TenantID, err)
	}
	return nil
}

// Release gives the tenant back at once. The fence stays, and a commit under
// the lease that comes later writes nothing. Releasing a lost lease does nothing.
func (s *Store) Release(ctx context.Context, l Lease) error {
	const release = `
		UPDATE sync.leases
		SET until = clock_timestamp(), released_at = clock_timestamp()
		WHERE tenant_id = $1 AND owner = $2 AND fence = $3 AND released_at IS NULL`
	if _, err := s.pool.Exec(ctx, release, l.TenantID, l.Owner, l.Fence); err != nil {
		return fmt.Errorf("store: release tenant %s: %w", l.TenantID, err)
	}
	return nil
}

// Block remembers that the service wants no call for the tenant before until,
// so that a worker that starts after this one stopped waits, too. An earlier
// wait that ends later stands. A tenant that was never acquired is not known
// here, and then nothing is remembered.
func (s *Store) Block(ctx context.Context, tenantID string, until time.Time) error {
	const block = `
		UPDATE sync.leases
		SET blocked_until = $2
		WHERE tenant_id = $1 AND (blocked_until IS NULL OR blocked_until < $2)`
	if _, err := s.pool.Exec(ctx, block, tenantID, until); err != nil {
		return fmt.Errorf("store: block tenant %s: %w", tenantID, err)
	}
	return nil
}

// BlockedUntil returns the latest instant that [Store.Block] was told for the
// tenant, which may have passed; the zero time when there is none.
func (s *Store) BlockedUntil(ctx context.Context, tenantID string) (time.Time, error) {
	const blocked = `
		SELECT blocked_until
		FROM sync.leases
		WHERE tenant_id = $1`
	until, err := s.instant(ctx, blocked, tenantID)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: look up the block of tenant %s: %w", tenantID, err)
	}
	return until, nil
}

// BlockHunting is [Store.Block] for hunting alone, whose allotment is apart.
func (s *Store) BlockHunting(ctx context.Context, tenantID string, until time.Time) error {
	const block = `
		UPDATE sync.leases
		SET hunting_blocked_until = $2
		WHERE tenant_id = $1 AND (hunting_blocked_until IS NULL OR hunting_blocked_until < $2)`
	if _, err := s.pool.Exec(ctx, block, tenantID, until); err != nil {
		return fmt.Errorf("store: block hunting of tenant %s: %w", tenantID, err)
	}
	return nil
}

// HuntingBlockedUntil is [Store.BlockedUntil] for [Store.BlockHunting].
func (s *Store) HuntingBlockedUntil(ctx context.Context, tenantID string) (time.Time, error) {
	const blocked = `
		SELECT hunting_blocked_until
		FROM sync.leases
		WHERE tenant_id = $1`
	until, err := s.instant(ctx, blocked, tenantID)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: look up the block of hunting of tenant %s: %w", tenantID, err)
	}
	return until, nil
}

// instant returns the time that a query finds; the zero time for NULL, or for
// no row.
func (s *Store) instant(ctx context.Context, sql string, args ...any) (time.Time, error) {
	var at *time.Time
	err := s.pool.QueryRow(ctx, sql, args...).Scan(&at)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, err
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *at, nil
}

// queueGuard locks the lease's row until the transaction ends and fails with
// [ErrFenced] where it is not l's any more; else it sets now to the database's
// clock. The lock is exclusive: the commits of one tenant's streams pass one
// by one, each sees what the one before stored, and so history and the coverage
// ledger can be worked out from what was read after this.
func queueGuard(b *pgx.Batch, l Lease, now *time.Time) {
	const guard = `
		SELECT owner = $2 AND fence = $3 AND released_at IS NULL, clock_timestamp()
		FROM sync.leases
		WHERE tenant_id = $1
		FOR NO KEY UPDATE`
	b.Queue(guard, l.TenantID, l.Owner, l.Fence).QueryRow(heldAt(now))
}

// queueFence is [queueGuard] without the lock: what it finds may be untrue as
// soon as it is found.
func queueFence(b *pgx.Batch, l Lease, now *time.Time) {
	const look = `
		SELECT owner = $2 AND fence = $3 AND released_at IS NULL, clock_timestamp()
		FROM sync.leases
		WHERE tenant_id = $1`
	b.Queue(look, l.TenantID, l.Owner, l.Fence).QueryRow(heldAt(now))
}

// heldAt reads whether the lease is held, and the database's clock.
func heldAt(now *time.Time) func(pgx.Row) error {
	return func(row pgx.Row) error {
		var held bool
		err := row.Scan(&held, now)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !held {
			return ErrFenced
		}
		return err
	}
}
