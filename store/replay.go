package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Replay is a quarantined record that can be stored after all.
type Replay struct {
	Lease     Lease
	ID        string // of the quarantined record
	Incidents []Incident
	Alerts    []Alert
}

// Replay stores the rows and takes the record out of quarantine, in one
// transaction. The bytes may be old: they are stored only where nothing is, or
// an older version. The error is [ErrFenced] without the lease, and anything
// that PostgreSQL still refuses.
func (s *Store) Replay(ctx context.Context, r Replay) (Counts, error) {
	const release = `
		DELETE FROM sync.quarantine
		WHERE tenant_id = $1 AND id = $2`
	var counts Counts
	err := checkRows(r.Lease.TenantID, r.Incidents, r.Alerts)
	if err == nil {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			w := &writer{tx: tx, batch: &pgx.Batch{}, strict: true}
			queueSettings(w.batch)
			queueGuard(w.batch, r.Lease, &w.now)
			alerts := newAlertPage(r.Alerts)
			if err := w.store(ctx, newIncidentPage(r.Incidents, alerts), alerts); err != nil {
				return err
			}
			w.batch.Queue(release, r.Lease.TenantID, r.ID)
			counts = w.counts
			return w.send(ctx)
		})
	}
	if err != nil {
		return Counts{}, fmt.Errorf("store: replay %s: %w", r.ID, err)
	}
	return counts, nil
}
