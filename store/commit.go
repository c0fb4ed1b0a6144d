package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Commit stores everything in c or nothing, and returns the checkpoint as stored.
//
// The lease is checked first ([ErrFenced]) and its row stays locked, so that a
// tenant's commits pass one by one. Records stored already with the same
// content, or in a newer version, are left alone. Of a record that is in c
// twice the newest version counts, and of equals the last. Coverage replaces
// what was recorded for the same instants. The checkpoint moves last, by
// compare-and-swap ([ErrConflict]).
//
// A record with a value that PostgreSQL refuses goes to sync.quarantine with its
// Served bytes, and the rest of c is stored. Hunting rows are written before the
// lease's row is locked, see commitHunt. After an error nothing was
// written, unless the connection broke while the commit was on its way: then
// the checkpoint in the database says which.
func (s *Store) Commit(ctx context.Context, c *Commit) (Checkpoint, Counts, error) {
	if err := c.check(); err != nil {
		return Checkpoint{}, Counts{}, fmt.Errorf("store: commit %s: %w", c.Checkpoint.Stream, err)
	}
	w, err := s.commitRows(ctx, c)
	if err != nil {
		return Checkpoint{}, Counts{}, fmt.Errorf("store: commit %s: %w", c.Checkpoint.Stream, err)
	}
	return w.stored, w.counts, nil
}

func (s *Store) commitRows(ctx context.Context, c *Commit) (*writer, error) {
	switch {
	case c.Parts == PartsAdded:
		return s.commitParts(ctx, c)
	case c.Hunt != nil:
		return s.commitHunt(ctx, c)
	}
	w, err := s.commit(ctx, c, (*writer).storeTogether)
	if isDataError(err) {
		w, err = s.commit(ctx, c, (*writer).storeApart)
	}
	return w, err
}

// check reports what no caller may hand in.
func (c *Commit) check() error {
	tenant := c.Lease.TenantID
	if c.Checkpoint.TenantID != tenant {
		return errors.New("the checkpoint is not of the lease's tenant")
	}
	if err := checkRows(tenant, c.Incidents, c.Alerts); err != nil {
		return err
	}
	if err := errors.Join(c.checkHunt(), c.checkParts()); err != nil {
		return err
	}
	for _, v := range c.Coverage {
		if !v.From.Before(v.To) {
			return fmt.Errorf("coverage from %s to %s is empty", v.From, v.To)
		}
	}
	return nil
}

// checkRows reports rows that are not the tenant's, or whose children are not theirs.
func checkRows(tenant string, incidents []Incident, alerts []Alert) error {
	for _, i := range incidents {
		for _, r := range i.CommentRows {
			if r.TenantID != i.TenantID || r.IncidentID != i.IncidentID {
				return fmt.Errorf("incident %d has a comment of incident %d", i.IncidentID, r.IncidentID)
			}
		}
		if i.TenantID != tenant {
			return fmt.Errorf("incident %d is not of the lease's tenant", i.IncidentID)
		}
	}
	for _, a := range alerts {
		for _, e := range a.Evidence {
			if e.TenantID != a.TenantID || e.AlertID != a.AlertID {
				return fmt.Errorf("alert %s has evidence of alert %s", a.AlertID, e.AlertID)
			}
		}
		if a.TenantID != tenant {
			return fmt.Errorf("alert %s is not of the lease's tenant", a.AlertID)
		}
	}
	return nil
}

// commit runs one attempt, storing the rows by the method given.
func (s *Store) commit(ctx context.Context, c *Commit, storeRows func(*writer, context.Context, *Commit) error) (*writer, error) {
	var w *writer
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		w = &writer{tx: tx, batch: &pgx.Batch{}}
		queueSettings(w.batch)
		queueGuard(w.batch, c.Lease, &w.now)
		queueLedger(w.batch, c.span(), &w.ledger)
		if err := storeRows(w, ctx, c); err != nil {
			return err
		}
		w.queueLedger(c)
		w.queueQuarantine(c)
		queueSchemaChanges(w.batch, c, w.now)
		queueCheckpoint(w.batch, c.Checkpoint, w.counts, w.now, &w.stored)
		return w.send(ctx)
	})
	return w, err
}

// writer is one commit under way. Statements gather in batch, and travel
// together when an answer is needed.
type writer struct {
	tx    pgx.Tx
	batch *pgx.Batch
	// strict refuses rows of the same version as what is stored.
	strict bool

	now      time.Time    // the database's clock
	ledger   []*ledgerRow // the coverage that c's may replace
	refused  []Quarantined
	resolved []QuarantineKey // hunting rows that were refused before
	counts   Counts
	stored   Checkpoint
}

// send runs the statements gathered; the error is that of the first to fail.
func (w *writer) send(ctx context.Context) error {
	b := w.batch
	w.batch = &pgx.Batch{}
	if b.Len() == 0 {
		return nil
	}
	return w.tx.SendBatch(ctx, b).Close()
}

// storeTogether writes the rows of c in as few round trips as there are
// answers to wait for: what is stored already, and what was written. What
// follows from those is left in the batch.
func (w *writer) storeTogether(ctx context.Context, c *Commit) error {
	alerts := newAlertPage(c.Alerts)
	return w.store(ctx, newIncidentPage(c.Incidents, alerts), alerts)
}

func (w *writer) store(ctx context.Context, incidents *incidentPage, alerts *alertPage) error {
	total := int64(len(incidents.rows) + len(alerts.rows))
	var counts Counts
	incidents.queueProbe(w.batch)
	alerts.queueProbe(w.batch)
	if err := w.send(ctx); err != nil {
		return err
	}
	incidents.queueUpsert(w.batch, w.strict, &counts)
	alerts.queueUpsert(w.batch, w.strict, &counts)
	if err := w.send(ctx); err != nil {
		return err
	}
	incidents.queueRest(w.batch)
	alerts.queueRest(w.batch)
	w.counts.Inserted += counts.Inserted
	w.counts.Updated += counts.Updated
	w.counts.Unchanged += total - counts.Inserted - counts.Updated
	return nil
}

// span returns the range that c's coverage lies in; it is empty where c has none.
func (c *Commit) span() span {
	s := span{tenantID: c.Lease.TenantID, stream: c.Checkpoint.Stream}
	for i, v := range c.Coverage {
		if i == 0 || v.From.Before(s.from) {
			s.from = v.From
		}
		if i == 0 || v.To.After(s.to) {
			s.to = v.To
		}
	}
	return s
}

// queueLedger records c's coverage.
func (w *writer) queueLedger(c *Commit) {
	var fresh []*ledgerRow
	ledger := w.ledger
	for _, v := range c.Coverage {
		row := &ledgerRow{
			TenantID: c.Lease.TenantID, Stream: c.Checkpoint.Stream,
			// PostgreSQL holds microseconds: what is compared here must be what is stored there.
			From: v.From.Truncate(time.Microsecond), To: v.To.Truncate(time.Microsecond),
			Rows: v.Rows, Calls: v.Calls, Verdict: string(v.Verdict), Reason: orNull(CleanText(v.Reason)),
			RunID: orNull(c.RunID), RecordedAt: w.now,
		}
		if fresh = append(fresh, row); v.Late {
			ledger = subtract(ledger, row)
		}
	}
	if len(fresh) > 0 {
		queueLedgerChange(w.batch, w.ledger, carve(ledger, fresh))
	}
}

// queueSettings keeps the planner from turning look-ups by key into scans: it
// cannot know how few keys an array holds, so what reads whole tables is off. And
// each statement is planned anew: a plan made while a table was empty, and kept
// for the connection's life, may read all of it for every key.
func queueSettings(b *pgx.Batch) {
	const settings = `
		SELECT
			set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_hashjoin', 'off', true),
			set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
	b.Queue(settings)
}

// changes is what c met, in its hunting answers, too.
func (c *Commit) changes() []SchemaChange {
	if c.Hunt == nil {
		return c.SchemaChanges
	}
	return append(slices.Clone(c.SchemaChanges), c.Hunt.news...)
}

// queueSchemaChanges records what c met for the first time.
func queueSchemaChanges(b *pgx.Batch, c *Commit, now time.Time) {
	const insert = `
		INSERT INTO sync.schema_changes (tenant_id, id, object, property, change, detail, first_seen_at, run_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (tenant_id, id) DO NOTHING`
	for _, s := range c.changes() {
		id := digest(c.Lease.TenantID, s.Object, s.Property, s.Change, s.Detail)
		b.Queue(insert, c.Lease.TenantID, id, CleanText(s.Object), CleanText(s.Property), CleanText(s.Change), CleanText(s.Detail), now, orNull(c.RunID))
	}
}
