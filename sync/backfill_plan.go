package sync

import (
	"context"
	"errors"
	"math"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// Plan is what a backfill would do for one stream of one tenant.
type Plan struct {
	Tenant, Stream string
	From, To       time.Time     // what of the range can be had
	Beyond         time.Duration // of the range, older than the service keeps
	Held           time.Duration // of the range, complete already
	Missing        time.Duration // of the range, to be read
	Rows           int64         // to be read; under zero where the API does not count
	Windows        int           // answers expected
	Calls          int64         // requests expected, that for the count included
	Disk           int64         // bytes that the rows would take, estimated; 0 where nothing is known
	Counted        int64         // requests that this plan took
	Err            error
}

// rowBytes is what a row takes of a table that holds none yet to be measured by.
const rowBytes = 700

// PlanBackfill says what [Worker.Backfill] would do. It fetches nothing but
// counts and stores nothing, and so needs no lease.
func (w *Worker) PlanBackfill(ctx context.Context, r BackfillRequest) []Plan {
	var plans []Plan
	w.each(r.Tenant, []string{r.Stream}, func(t *tenantState, s Stream) {
		plans = append(plans, w.plan(ctx, t, s, r))
	})
	return plans
}

func (w *Worker) plan(ctx context.Context, t *tenantState, s Stream, r BackfillRequest) Plan {
	p := Plan{Tenant: t.Name, Stream: s.Name}
	if s.Hunt != nil {
		if p.Err = s.Hunt.Backfillable(); p.Err != nil {
			return p
		}
	}
	e := errand{tenant: t, stream: s, run: store.Run{StartedAt: micro(w.cfg.Now())}}
	reading, err := w.newReading(ctx, e)
	if err != nil {
		p.Err = err
		return p
	}
	defer reading.close()
	whole, beyond := reachable(s, span{micro(r.From), micro(r.To)}, e.run.StartedAt)
	p.From, p.To, p.Beyond = whole.since, whole.until, beyond
	if !whole.since.Before(whole.until) {
		return p
	}
	missing, err := w.unread(ctx, e, reading.way().cp, whole)
	if err != nil {
		p.Err = err
		return p
	}
	for _, m := range missing {
		p.Missing += m.width()
	}
	p.Held = whole.width() - p.Missing
	if len(missing) > 0 {
		p.Err = w.estimate(ctx, &p, reading, e, missing)
	}
	p.Counted = reading.way().meter.Calls.Load()
	return p
}

// unread is what [Worker.missing] would list once the start was moved back.
func (w *Worker) unread(ctx context.Context, e errand, cp store.Checkpoint, whole span) ([]span, error) {
	if cp.Revision == 0 {
		return []span{whole}, nil
	}
	missing, err := w.missing(ctx, e, cp, whole)
	if before := (span{whole.since, earlier(whole.until, cp.StartTime)}); before.since.Before(before.until) {
		missing = append([]span{before}, missing...)
	}
	return missing, err
}

// estimate fills in what the missing ranges cost.
func (w *Worker) estimate(ctx context.Context, p *Plan, reading reading, e errand, missing []span) error {
	if h, ok := reading.(*hunting); ok {
		return w.estimateHunt(ctx, p, h, e, missing)
	}
	list := reading.(*pass)
	counter, ok := e.tenant.Source.(Counter)
	for _, m := range missing {
		n, err := int64(-1), error(nil)
		if ok {
			n, err = counter.Count(defender.ContextWithMeter(ctx, list.meter), e.stream.Name, m.since, m.until)
		}
		var cannot *defender.CountError
		switch {
		case errors.As(err, &cannot) || n < 0:
			p.Rows = -1
			p.Windows += int(math.Ceil(float64(m.width()) / float64(max(list.width, firstWidth))))
		case err != nil:
			return err
		default:
			p.Rows += n
			p.Windows += int(n)/list.ep.limit + 1
		}
	}
	p.Calls = int64(p.Windows)
	return nil
}

func (w *Worker) estimateHunt(ctx context.Context, p *Plan, h *hunting, e errand, missing []span) error {
	whole := span{missing[0].since, missing[len(missing)-1].until}
	if h.hunt.query != nil {
		p.Rows = -1
		for _, m := range missing {
			p.Windows += int(math.Ceil(float64(m.width()) / float64(h.width)))
		}
		p.Calls = int64(p.Windows)
		return nil
	}
	counts, err := h.count(ctx, whole)
	if err != nil {
		return h.explain(err)
	}
	aim := huntFill * float64(h.hunt.Cap)
	for _, m := range missing {
		p.Rows += rowsIn(counts.counts, m)
		for at := m.since; at.Before(m.until); p.Windows++ {
			at = later(expected(counts.counts, span{at, m.until}, aim), at.Add(tick))
		}
	}
	p.Calls = int64(p.Windows) + 1
	rows, bytes, err := w.cfg.Store.HuntSize(ctx, e.tenant.ID, h.hunt.Name)
	if p.Disk = p.Rows * rowBytes; rows > 0 {
		p.Disk = p.Rows * bytes / rows
	}
	return err
}

// rowsIn is how many rows the counts expect in s, spread evenly inside an hour.
func rowsIn(hours []store.HourCount, s span) int64 {
	var n float64
	for _, c := range hours {
		part := earlier(c.Hour.Add(time.Hour), s.until).Sub(later(c.Hour, s.since))
		if part > 0 {
			n += float64(c.Rows) * float64(part) / float64(time.Hour)
		}
	}
	return int64(math.Round(n))
}
