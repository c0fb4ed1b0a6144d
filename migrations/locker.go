package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/lock"
)

const (
	lockWait   = 5 * time.Minute
	unlockWait = 5 * time.Second
)

// locker keeps apart the programs that migrate one database at once, by goose's
// own lock of the session that migrates: it lasts exactly as long as what that
// session has under way. Behind a pooler that shares connections by the
// transaction there is no such session: the lock would stay with whichever
// connection took it, for others to be let in by and for nobody to give back.
// There a transaction on a connection of its own has the same lock.
type locker struct {
	lock.SessionLocker // goose's
	config             *pgx.ConnConfig
	apart              *pgx.Conn // in the transaction that has the lock; nil where goose's session has
}

func newLocker(config *pgx.ConnConfig) (*locker, error) {
	// Polls every second: the default of five is a long wait for five workers that start at once.
	own, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(lockWait/time.Second)))
	return &locker{SessionLocker: own, config: config}, err
}

// SessionLock implements [lock.SessionLocker].
func (l *locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	pooled, err := behindPooler(ctx, conn)
	switch {
	case err != nil:
		return err
	case pooled:
		return l.lockApart(ctx)
	}
	return l.SessionLocker.SessionLock(ctx, conn)
}

// SessionUnlock implements [lock.SessionLocker].
func (l *locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	if l.apart == nil {
		return l.SessionLocker.SessionUnlock(ctx, conn)
	}
	release(ctx, l.apart)
	l.apart = nil
	return nil
}

// behindPooler reports whether the process that conn says it is connected to is
// not the one that answers.
func behindPooler(ctx context.Context, conn *sql.Conn) (bool, error) {
	const who = `SELECT pg_backend_pid()`
	var answers, said uint32
	if err := conn.QueryRowContext(ctx, who).Scan(&answers); err != nil {
		return false, err
	}
	err := conn.Raw(func(driver any) error {
		said = driver.(*stdlib.Conn).Conn().PgConn().PID()
		return nil
	})
	return answers != said, err
}

func (l *locker) lockApart(ctx context.Context) error {
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
	l.apart = conn
	return nil
}

// release ends the connection, and with it the transaction and the lock.
func release(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockWait)
	defer cancel()
	_, _ = conn.Exec(ctx, `ROLLBACK`)
	_ = conn.Close(ctx)
}
