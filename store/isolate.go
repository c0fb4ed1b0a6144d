package store

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// storeApart writes the rows of c so that those PostgreSQL refuses are found and
// quarantined: each half under a savepoint, halved again where it fails.
func (w *writer) storeApart(ctx context.Context, c *Commit) error {
	if err := w.send(ctx); err != nil { // the guard, before any savepoint
		return err
	}
	alerts := newAlertPage(c.Alerts)
	incidents := newIncidentPage(c.Incidents, alerts)
	err := w.isolate(ctx, len(incidents.rows), func(lo, hi int) error {
		return w.storeNow(ctx, incidents.part(lo, hi), newAlertPage(nil))
	}, func(n int, err error) Quarantined {
		i := incidents.rows[n]
		return Quarantined{Kind: "incident", Key: strconv.FormatInt(i.IncidentID, 10), Reason: err.Error(), Payload: i.Served}
	})
	if err != nil {
		return err
	}
	return w.isolate(ctx, len(alerts.rows), func(lo, hi int) error {
		part := &alertPage{rows: alerts.rows[lo:hi], known: map[string]*Alert{}}
		return w.storeNow(ctx, newIncidentPage(nil, part), part)
	}, func(n int, err error) Quarantined {
		a := alerts.rows[n]
		return Quarantined{Kind: "alert", Key: a.AlertID, Reason: err.Error(), Payload: a.Served}
	})
}

// storeNow writes everything about the rows, children included.
func (w *writer) storeNow(ctx context.Context, incidents *incidentPage, alerts *alertPage) error {
	if err := w.store(ctx, incidents, alerts); err != nil {
		return err
	}
	return w.send(ctx)
}

// isolate writes rows [0, n) by halves until each is written or alone at fault.
func (w *writer) isolate(ctx context.Context, n int, write func(lo, hi int) error, refuse func(int, error) Quarantined) error {
	var halve func(lo, hi int) error
	halve = func(lo, hi int) error {
		if lo == hi {
			return nil
		}
		outer, counts := w.tx, w.counts
		err := pgx.BeginFunc(ctx, outer, func(savepoint pgx.Tx) error {
			w.tx = savepoint
			defer func() { w.tx = outer }()
			return write(lo, hi)
		})
		if !isDataError(err) {
			return err
		}
		w.batch, w.counts = &pgx.Batch{}, counts
		if hi-lo == 1 {
			w.refused = append(w.refused, refuse(lo, err))
			return nil
		}
		middle := (lo + hi) / 2
		if err := halve(lo, middle); err != nil {
			return err
		}
		return halve(middle, hi)
	}
	return halve(0, n)
}
