package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3/lock"
)

const (
	lockWait   = 5 * time.Minute
	unlockWait = 5 * time.Second
)

// locker keeps apart the programs that migrate one database at once. Its lock is
// the one that goose itself takes, but a transaction's, on a connection of its
// own: behind a pooler that shares connections by the transaction, a session's
// would stay with whichever connection took it, and nobody could give it back.
type locker struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn // in the transaction that has the lock
}

// SessionLock implements [lock.SessionLocker].
func (l *locker) SessionLock(ctx context.Context, _ *sql.Conn) error {
	// The wait and the idleness are meant, whatever the server's limits are.
	const begin = `
		BEGIN ISOLATION LEVEL READ COMMITTED;
		SET LOCAL statement_timeout = 0;
		SET LOCAL lock_timeout = 0;
		SET LOCAL idle_in_transaction_session_timeout = 0`
	const take = `SELECT pg_advisory_xact_lock($1)`
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return fmt.Errorf("connect for the lock: %w", err)
	}
	if _, err = conn.Exec(ctx, begin); err == nil {
		_, err = conn.Exec(ctx, take, int64(lock.DefaultLockID))
	}
	if err != nil {
		release(ctx, conn)
		return fmt.Errorf("wait for another program that migrates: %w", err)
	}
	l.conn = conn
	return nil
}

// SessionUnlock implements [lock.SessionLocker]. A lock whose connection broke is
// free already: each migration is a transaction of its own and needs no more.
func (l *locker) SessionUnlock(ctx context.Context, _ *sql.Conn) error {
	release(ctx, l.conn)
	return nil
}

// release ends the connection, and with it the transaction and the lock.
func release(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockWait)
	defer cancel()
	_, _ = conn.Exec(ctx, `ROLLBACK`)
	_ = conn.Close(ctx)
}
