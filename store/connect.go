package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connections is the pool. Each call may have to connect anew, as when the
// server was restarted under a worker, and then says what [Open] would say.
type connections struct{ *pgxpool.Pool }

func (c connections) explain(err error) error {
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		return explainConnect(c.Config().ConnConfig, err)
	}
	return err
}

// Ping is the pool's.
func (c connections) Ping(ctx context.Context) error { return c.explain(c.Pool.Ping(ctx)) }

// Exec is the pool's.
func (c connections) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := c.Pool.Exec(ctx, sql, args...)
	return tag, c.explain(err)
}

// Query is the pool's.
func (c connections) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := c.Pool.Query(ctx, sql, args...)
	return rows, c.explain(err)
}

// QueryRow is the pool's.
func (c connections) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return explainedRow{c.Pool.QueryRow(ctx, sql, args...), c}
}

// SendBatch is the pool's.
func (c connections) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return explainedBatch{c.Pool.SendBatch(ctx, b), c}
}

// BeginTx is the pool's.
func (c connections) BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error) {
	tx, err := c.Pool.BeginTx(ctx, o)
	return tx, c.explain(err)
}

// explainedRow tells in Scan what kept it from being read.
type explainedRow struct {
	pgx.Row
	c connections
}

// Scan is the row's.
func (r explainedRow) Scan(dest ...any) error { return r.c.explain(r.Row.Scan(dest...)) }

// explainedBatch tells in Close what kept it from being sent.
type explainedBatch struct {
	pgx.BatchResults
	c connections
}

// Close is the batch's.
func (b explainedBatch) Close() error { return b.c.explain(b.BatchResults.Close()) }

// explainConnect says in one sentence what to change about the connection.
func explainConnect(c *pgx.ConnConfig, err error) error {
	hint := "is the server running there, and does database.url name the right host and port?"
	switch code(err) {
	case "28P01":
		hint = "the password is wrong"
	case "28000":
		hint = "the server's pg_hba.conf does not let this user in from here"
	case "3D000":
		hint = "there is no such database; create it first"
	case "53300":
		hint = "the server has no connection left; lower database.max_connections"
	case "57P03":
		hint = "the server is starting up or shutting down"
	case "":
		hint = cmp.Or(tlsHint(err), hint)
	}
	return &connectError{
		says:  fmt.Sprintf("cannot connect to database %q on %s:%d as %q: %s", c.Database, c.Host, c.Port, c.User, hint),
		cause: err,
	}
}

// tlsHint says what to change about TLS; "" where it is not to blame.
func tlsHint(err error) string {
	const refused = "server refused TLS connection" // pgx has no type for it
	if strings.Contains(err.Error(), refused) {
		return "the server runs there, but without TLS: turn it on there, or change sslmode in database.url"
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return "the server's certificate is not trusted: name its issuer's file by sslrootcert in database.url, or change sslmode"
	}
	return ""
}

// connectError puts pgx's error, which has one line for each way it tried, on one.
type connectError struct {
	says  string
	cause error
}

// Error implements error.
func (e *connectError) Error() string {
	cause := e.cause
	var reason *pgconn.ConnectError
	if errors.As(cause, &reason) {
		cause = errors.Unwrap(reason) // without the settings, which says has
	}
	var lines []string
	for line := range strings.Lines(cause.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return e.says + " (" + strings.Join(lines, "; ") + ")"
}

// Unwrap returns pgx's error.
func (e *connectError) Unwrap() error { return e.cause }
