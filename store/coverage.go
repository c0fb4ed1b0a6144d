package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Gap is one half-open range between a stream's start and its watermark that
// is not complete.
type Gap struct {
	From, To time.Time
	Reason   string
}

// Gaps returns what is missing of a stream, in order. None means that every
// instant from its start to its watermark is complete.
func (s *Store) Gaps(ctx context.Context, tenantID, stream string) ([]Gap, error) {
	const gaps = `
		SELECT from_time, to_time, reason
		FROM sync.gaps
		WHERE tenant_id = $1 AND stream = $2
		ORDER BY from_time`
	rows, err := s.pool.Query(ctx, gaps, tenantID, stream)
	if err != nil {
		return nil, fmt.Errorf("store: list gaps of %s: %w", stream, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Gap])
	if err != nil {
		return nil, fmt.Errorf("store: list gaps of %s: %w", stream, err)
	}
	return all, nil
}

// Coverage returns the ranges recorded that overlap [from, to), in order and
// whole, not clipped.
func (s *Store) Coverage(ctx context.Context, tenantID, stream string, from, to time.Time) ([]Coverage, error) {
	var ledger []*ledgerRow
	b := &pgx.Batch{}
	queueLedger(b, span{tenantID, stream, from, to}, &ledger)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("store: list coverage of %s: %w", stream, err)
	}
	var all []Coverage
	for _, r := range ledger {
		c := Coverage{From: r.From, To: r.To, Rows: r.Rows, Calls: r.Calls, Verdict: Verdict(r.Verdict)}
		if r.Reason != nil {
			c.Reason = *r.Reason
		}
		all = append(all, c)
	}
	return all, nil
}

// CompactCoverage merges each run of complete ranges that touch and end at or
// before before into one, so that the ledger stays small as it ages. Which run
// read which part is forgotten; what is covered is not.
func (s *Store) CompactCoverage(ctx context.Context, l Lease, stream string, before time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var now time.Time
		var ledger []*ledgerRow
		b := &pgx.Batch{}
		queueGuard(b, l, &now)
		queueLedger(b, span{tenantID: l.TenantID, stream: stream, to: before}, &ledger)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if n := len(ledger); n > 0 && ledger[n-1].To.After(before) {
			ledger = ledger[:n-1]
		}
		b = &pgx.Batch{}
		queueLedgerChange(b, ledger, merge(ledger))
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store: compact coverage of %s: %w", stream, err)
	}
	return nil
}

// span is a half-open range of one stream of one tenant.
type span struct {
	tenantID, stream string
	from, to         time.Time
}

// queueLedger reads the rows that overlap s, in order.
func queueLedger(b *pgx.Batch, s span, ledger *[]*ledgerRow) {
	// Rows never overlap, so only the last that begins before $3 can reach over it;
	// a condition on to_time would read the whole ledger.
	const overlapping = `
		SELECT tenant_id, stream, from_time, to_time, rows, calls, verdict, reason, run_id::text, recorded_at
		FROM sync.coverage
		WHERE tenant_id = $1 AND stream = $2 AND from_time < $4 AND to_time > $3
			AND from_time >= coalesce(
				(SELECT max(from_time) FROM sync.coverage WHERE tenant_id = $1 AND stream = $2 AND from_time <= $3),
				$3
			)
		ORDER BY from_time`
	b.Queue(overlapping, s.tenantID, s.stream, s.from, s.to).Query(func(rows pgx.Rows) (err error) {
		*ledger, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[ledgerRow])
		return err
	})
}

// queueLedgerChange makes the rows before into the rows after, and touches none
// that stays as it is.
func queueLedgerChange(b *pgx.Batch, before, after []*ledgerRow) {
	const remove = `
		DELETE FROM sync.coverage AS c
		USING unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS k (tenant_id, stream, from_time)
		WHERE c.tenant_id = k.tenant_id AND c.stream = k.stream AND c.from_time = k.from_time`
	const upsert = `
		INSERT INTO sync.coverage (
			tenant_id, stream, from_time, to_time, rows, calls, verdict, reason, run_id, recorded_at
		)
		SELECT
			x.tenant_id, x.stream, x.from_time, x.to_time, x.rows, x.calls, x.verdict, x.reason, x.run_id, x.recorded_at
		FROM unnest(
			$1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[],
			$7::text[], $8::text[], $9::uuid[], $10::timestamptz[]
		) AS x (
			tenant_id, stream, from_time, to_time, rows, calls, verdict, reason, run_id, recorded_at
		)
		ON CONFLICT (tenant_id, stream, from_time) DO UPDATE SET
			to_time = excluded.to_time, rows = excluded.rows, calls = excluded.calls, verdict = excluded.verdict,
			reason = excluded.reason, run_id = excluded.run_id, recorded_at = excluded.recorded_at`
	type key struct {
		TenantID string    `db:"tenant_id"`
		Stream   string    `db:"stream"`
		From     time.Time `db:"from_time"`
	}
	stays := make(map[*ledgerRow]bool, len(before))
	begins := map[int64]bool{}
	for _, r := range after {
		stays[r] = true
		begins[r.From.UnixMicro()] = true
	}
	gone := filter(before, func(r *ledgerRow) bool { return !begins[r.From.UnixMicro()] })
	for _, r := range before {
		delete(stays, r) // what is left in stays is new
	}
	fresh := filter(after, func(r *ledgerRow) bool { return stays[r] })
	if len(gone) > 0 {
		b.Queue(remove, columns(mapRows(gone, func(r *ledgerRow) *key { return &key{r.TenantID, r.Stream, r.From} }))...)
	}
	if len(fresh) > 0 {
		b.Queue(upsert, columns(fresh)...)
	}
}
