package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is the database. It is safe for concurrent use.
type Store struct{ pool connections }

// Open connects to the database at url (a PostgreSQL URL or key=value string)
// with at most maxConns connections; 0 leaves the number to pgx. Every time it
// later returns is in UTC. The error is one sentence and holds no password.
func Open(ctx context.Context, url string, maxConns int) (*Store, error) {
	config, err := poolConfig(url, maxConns)
	if err != nil {
		return nil, err
	}
	return openPool(ctx, config)
}

// poolConfig returns pgx's settings for url.
func poolConfig(url string, maxConns int) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx's error quotes the string, with the password only where it could find one to hide.
		return nil, errors.New("store: the database URL is not one that PostgreSQL understands; it looks like postgres://user:password@host:5432/database")
	}
	if maxConns > 0 {
		config.MaxConns = int32(maxConns)
	}
	params := config.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "defendersync"
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	return config, nil
}

// openPool connects once, so that a wrong address is told now.
func openPool(ctx context.Context, config *pgxpool.Config) (*Store, error) {
	pool, pooled, err := connect(ctx, config)
	if mode := &config.ConnConfig.DefaultQueryExecMode; err == nil && pooled && *mode == pgx.QueryExecModeCacheStatement {
		// A statement that is prepared by name is one server connection's, and the next
		// transaction may be another's: without names, each execution brings its own.
		pool.Close()
		*mode = pgx.QueryExecModeCacheDescribe
		pool, _, err = connect(ctx, config)
	}
	if err != nil {
		if pool != nil {
			pool.Close()
		}
		return nil, fmt.Errorf("store: %w", explainConnect(config.ConnConfig, err))
	}
	return &Store{pool: connections{pool}}, nil
}

// connect also reports whether a pooler such as PgBouncer is between: the
// process that it says it is connected to is then not the one that answers.
func connect(ctx context.Context, config *pgxpool.Config) (pool *pgxpool.Pool, pooled bool, err error) {
	const who = `SELECT pg_backend_pid()`
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, false, err
	}
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		var pid uint32
		err := conn.QueryRow(ctx, who, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
		pooled = pid != conn.Conn().PgConn().PID()
		return err
	})
	return pool, pooled, err
}

// Close waits for connections in use and closes all.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("store: ping: %w", err)
	}
	return nil
}

// Pool returns the connections, for the migrations.
func (s *Store) Pool() *pgxpool.Pool { return s.pool.Pool }

// begin has the server end a transaction whose worker is paused, or whose
// machine is gone without a word: its locks, on the lease above all, would keep
// the tenant's next worker waiting for as long as the server takes it for alive.
const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = '60s'`

// inTx runs f in one transaction, again where PostgreSQL asks for it.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	err := repeat(func() error { return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, f) })
	return explainWrite(err)
}

// repeat runs f, which is one transaction, again where PostgreSQL asks for it.
func repeat(f func() error) (err error) {
	const attempts = 5
	for range attempts {
		err = f()
		if c := code(err); c != "40001" && c != "40P01" { // serialization failure, deadlock
			break
		}
	}
	return err
}

// explainWrite says what to change about a database that takes no writes.
func explainWrite(err error) error {
	if code(err) == "25006" {
		return fmt.Errorf("the database is read-only: point database.url at the primary, with a role that may write: %w", err)
	}
	return err
}

// code returns the SQLSTATE of err, or "".
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// isBroken reports whether err is the connection's, which another one may not
// have: the server ended it, or nothing came of it.
func isBroken(err error) bool {
	c := code(err)
	return err != nil && (c == "" || strings.HasPrefix(c, "57P") || strings.HasPrefix(c, "08"))
}

// isDataError reports whether PostgreSQL refused a value, not the work: it
// would refuse the same value again.
func isDataError(err error) bool {
	c := code(err)
	if len(c) != 5 {
		return false
	}
	return c[:2] == "22" || c[:2] == "54" || c == "23502" || c == "23514"
}

// orNull returns nil for "", which is stored as NULL.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
