package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotFound means that no quarantined record has the id.
var ErrNotFound = errors.New("no such record in quarantine")

// QuarantineRow is one record that could not be stored.
type QuarantineRow struct {
	TenantID, ID, Stream string
	Quarantined          // Payload is nil in a list
	Attempts             int
	Size                 int64 // of the payload, in bytes
	FirstSeenAt          time.Time
	LastAttemptAt        time.Time
	RunID                string // of the run that brought it; may be empty
}

// QuarantineFilter narrows a list; empty fields and a Limit of 0 do not.
type QuarantineFilter struct {
	TenantID, Stream, Kind string
	Rested                 time.Duration // since the last attempt, by the database's clock
	Limit                  int
}

// QuarantineList returns what is in quarantine, oldest first, without payloads.
func (s *Store) QuarantineList(ctx context.Context, f QuarantineFilter) ([]QuarantineRow, error) {
	const list = `
		SELECT tenant_id, id, stream, kind, key, reason, attempts, payload_size, first_seen_at, last_attempt_at,
			coalesce(run_id::text, ''), NULL::bytea
		FROM sync.quarantine
		WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR stream = $2) AND ($3::text IS NULL OR kind = $3)
			AND last_attempt_at <= clock_timestamp() - $4::interval
		ORDER BY first_seen_at, id
		LIMIT $5`
	var limit *int
	if f.Limit > 0 {
		limit = &f.Limit
	}
	rows, err := s.pool.Query(ctx, list, orNull(f.TenantID), orNull(f.Stream), orNull(f.Kind), f.Rested, limit)
	if err != nil {
		return nil, fmt.Errorf("store: list quarantine: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanQuarantine)
	if err != nil {
		return nil, fmt.Errorf("store: list quarantine: %w", err)
	}
	return all, nil
}

// QuarantineGet returns one record with its payload. id may be shortened as
// long as one record only begins with it. The error is [ErrNotFound] for none.
func (s *Store) QuarantineGet(ctx context.Context, id string) (QuarantineRow, error) {
	const get = `
		SELECT tenant_id, id, stream, kind, key, reason, attempts, payload_size, first_seen_at, last_attempt_at,
			coalesce(run_id::text, ''), payload
		FROM sync.quarantine
		WHERE starts_with(id::text, $1)
		LIMIT 2`
	rows, err := s.pool.Query(ctx, get, strings.ToLower(id))
	if err != nil {
		return QuarantineRow{}, fmt.Errorf("store: load quarantined %q: %w", id, err)
	}
	found, err := pgx.CollectRows(rows, scanQuarantine)
	switch {
	case err != nil:
		return QuarantineRow{}, fmt.Errorf("store: load quarantined %q: %w", id, err)
	case len(found) == 0 || id == "":
		return QuarantineRow{}, fmt.Errorf("store: load quarantined %q: %w", id, ErrNotFound)
	case len(found) > 1:
		return QuarantineRow{}, fmt.Errorf("store: load quarantined %q: more than one record begins with it", id)
	}
	return found[0], nil
}

func scanQuarantine(row pgx.CollectableRow) (QuarantineRow, error) {
	var q QuarantineRow
	err := row.Scan(&q.TenantID, &q.ID, &q.Stream, &q.Kind, &q.Key, &q.Reason, &q.Attempts, &q.Size, &q.FirstSeenAt, &q.LastAttemptAt, &q.RunID, &q.Payload)
	return q, err
}

// QuarantineFailed records that storing the record was tried once more in vain.
func (s *Store) QuarantineFailed(ctx context.Context, tenantID, id, reason string) error {
	const failed = `
		UPDATE sync.quarantine
		SET attempts = attempts + 1, reason = $3, last_attempt_at = clock_timestamp()
		WHERE tenant_id = $1 AND id = $2`
	tag, err := s.pool.Exec(ctx, failed, tenantID, id, CleanText(reason))
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: record failed replay of %s: %w", id, err)
	}
	return nil
}

// queueQuarantine lets go of what c stored, and keeps what it brought and what
// PostgreSQL refused. A record that is there already with the same bytes and
// reason is not written again.
func (w *writer) queueQuarantine(c *Commit) {
	const release = `
		DELETE FROM sync.quarantine AS q
		USING unnest($1::uuid[], $2::text[], $3::text[]) AS k (tenant_id, kind, key)
		WHERE q.tenant_id = k.tenant_id AND q.kind = k.kind AND md5(q.key) = md5(k.key) AND q.key = k.key`
	type key struct {
		TenantID string `db:"tenant_id"`
		Kind     string `db:"kind"`
		Key      string `db:"key"`
	}
	bad := append(w.refused, c.Quarantine...)
	held := map[QuarantineKey]bool{}
	for _, q := range bad {
		held[QuarantineKey{q.Kind, q.Key}] = true
	}
	var stored []*key
	for _, k := range append(w.resolved, c.Resolved...) {
		if !held[k] {
			stored = append(stored, &key{c.Lease.TenantID, CleanText(k.Kind), CleanText(k.Key)})
		}
	}
	if len(stored) > 0 {
		w.batch.Queue(release, columns(stored)...)
	}
	for _, q := range bad {
		w.queueQuarantined(c, q)
	}
}

// queueQuarantined keeps one record.
func (w *writer) queueQuarantined(c *Commit, q Quarantined) {
	const keep = `
		INSERT INTO sync.quarantine AS q (
			tenant_id, id, stream, kind, key, reason, attempts, payload, first_seen_at, last_attempt_at, run_id
		)
		VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $8, $9)
		ON CONFLICT (tenant_id, id) DO UPDATE SET
			reason = excluded.reason, attempts = q.attempts + 1, payload = excluded.payload,
			last_attempt_at = excluded.last_attempt_at, run_id = excluded.run_id
		WHERE (q.reason, q.payload) IS DISTINCT FROM (excluded.reason, excluded.payload)`
	identity := q.Key
	if identity == "" {
		identity = string(q.Payload)
	}
	payload := q.Payload
	if payload == nil {
		payload = []byte{}
	}
	id := digest(c.Lease.TenantID, c.Checkpoint.Stream, q.Kind, identity)
	w.batch.Queue(keep, c.Lease.TenantID, id, c.Checkpoint.Stream, CleanText(q.Kind), CleanText(q.Key), CleanText(q.Reason), payload, w.now, orNull(c.RunID))
}

// digest returns the first 16 bytes of the SHA-256 of parts, each with its length
// before it, as a key.
func digest(parts ...string) [16]byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return [16]byte(h.Sum(nil))
}
