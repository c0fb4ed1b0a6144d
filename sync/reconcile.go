package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// ReconcileRequest asks to compare streams with their source.
type ReconcileRequest struct {
	Tenant   string   // "" is every tenant
	Streams  []string // none is every stream that can be counted
	From, To time.Time
	DryRun   bool // compare only
}

// Reconciled is what one stream's comparison found.
type Reconciled struct {
	Tenant, Stream string
	From, To       time.Time
	Unit           time.Duration // an hour, of incidents and alerts a day
	Checked        int           // units compared
	Differing      int           // units whose counts differed
	Healed         int           // of those, that agree after they were read again
	Explained      int           // of those, that differ for a reason known before: the source's count has not changed since they were read whole
	Source         int64         // records at the source
	Stored         int64         // records stored before
	After          int64         // records stored after
	Calls          int64
	Skipped        string // why the stream cannot be compared; "" when it was
	Err            error
}

// Unexplained is how many units still differ, and were not known to.
func (r Reconciled) Unexplained() int { return r.Differing - r.Healed - r.Explained }

// Units of comparison.
const (
	huntUnit     = time.Hour
	incidentUnit = 24 * time.Hour
)

// mutableDays is how far back a table is read again whose rows change after they
// were written: its counts cannot show that.
const mutableDays = 3

// Reconcile compares what the source counts with what is stored, unit by unit,
// and reads those again that differ. It finds what came later than any overlap.
func (w *Worker) Reconcile(ctx context.Context, r ReconcileRequest) []Reconciled {
	var all []Reconciled
	w.each(r.Tenant, r.Streams, func(t *tenantState, s Stream) {
		began := micro(w.cfg.Now())
		out := w.reconcile(ctx, t, s, r)
		if errors.Is(out.Err, store.ErrLeaseHeld) {
			w.refused(ctx, errand{tenant: t, stream: s, run: store.Run{StartedAt: began, Command: "reconcile"}}, out.Err)
		}
		all = append(all, out)
	})
	return all
}

func (w *Worker) reconcile(ctx context.Context, t *tenantState, s Stream, r ReconcileRequest) Reconciled {
	out := Reconciled{Tenant: t.Name, Stream: s.Name, Unit: incidentUnit}
	if s.Hunt != nil {
		out.Unit = huntUnit
	}
	if out.Skipped = uncountable(t, s); out.Skipped != "" {
		return out
	}
	ctx, lease, release, err := w.await(ctx, t)
	if err != nil {
		out.Err = err
		return out
	}
	defer release()
	result := w.recorded(ctx, errand{lease: lease, tenant: t, stream: s, run: store.Run{Command: "reconcile"}}, func(ctx context.Context, e errand, result *Result) error {
		p, err := w.newReading(ctx, e)
		if err != nil {
			return err
		}
		defer p.close()
		defer func() { result.count(p.way()) }()
		c := &comparison{worker: w, errand: e, reading: p, out: &out}
		if err := c.run(ctx, r); err != nil {
			return err
		}
		if n := out.Unexplained(); n > 0 && !r.DryRun {
			result.Warning = fmt.Sprintf("%d of %d differ from the source although they were read again", n, out.Checked)
		}
		return nil
	})
	out.Calls, out.Err = result.Calls, result.Err
	return out
}

// uncountable says why a stream cannot be compared with its source.
func uncountable(t *tenantState, s Stream) string {
	switch {
	case s.Hunt == nil && t.Dialect == defender.Older:
		return "the older API does not count incidents"
	case s.Hunt == nil:
		return ""
	case s.Hunt.Mode != ModeEvents:
		return "each pass reads the whole result, so there is nothing to compare"
	case s.Hunt.query != nil:
		return "a query of your own cannot be counted: nothing is ever added to its text"
	}
	return ""
}

// comparison is one stream's reconciliation under way.
type comparison struct {
	worker  *Worker
	errand  errand
	reading reading
	out     *Reconciled

	forget []store.Reconciled // units that differed once and no longer do
	flawed map[int64]bool     // units that could not be read again whole
}

func (c *comparison) run(ctx context.Context, r ReconcileRequest) error {
	if c.errand.stream.Hunt == nil && !r.DryRun {
		// An incident that changed since the last pass is counted where it is now,
		// and stored where it was.
		if err := c.reading.read(ctx); err != nil {
			return err
		}
	}
	w := c.span(r)
	c.out.From, c.out.To = w.since, w.until
	if !w.since.Before(w.until) {
		c.out.Skipped = "no whole " + map[time.Duration]string{huntUnit: "hour", incidentUnit: "day"}[c.out.Unit] + " of the range is behind the watermark and within the service's reach"
		return nil
	}
	source, err := c.source(ctx, w)
	if err != nil {
		return err
	}
	stored, err := c.stored(ctx, w)
	if err != nil {
		return err
	}
	known, err := c.known(ctx, w)
	if err != nil {
		return err
	}
	differ := c.compare(w, tallies{source, stored, known})
	c.out.After = c.out.Stored
	if r.DryRun {
		return nil
	}
	if err := c.heal(ctx, w, differ, source); err != nil || c.errand.stream.Hunt == nil {
		return err
	}
	return c.worker.cfg.Store.ForgetReconciled(ctx, c.errand.lease, c.errand.stream.Name, edgeAt(c.worker.cfg.Now()).Add(-c.out.Unit))
}

// span is what is compared: whole units behind the watermark that the service
// still has and that are still kept here. A range asked for is made wider, not
// narrower, to be of whole units.
func (c *comparison) span(r ReconcileRequest) span {
	cp, s := c.reading.way().cp, c.errand.stream
	now := micro(c.worker.cfg.Now())
	w, _ := reachable(s, span{later(cp.StartTime, r.From.UTC().Truncate(c.out.Unit)), cp.Watermark}, now)
	if s.Hunt == nil && r.From.IsZero() {
		w.since = later(w.since, now.Add(-huntEdge)) // a call for each day
	}
	if s.Hunt != nil && s.Hunt.Retention > 0 {
		w.since = later(w.since, now.Add(-s.Hunt.Retention))
	}
	if !r.To.IsZero() {
		w.until = earlier(w.until, upTo(r.To.UTC(), c.out.Unit))
	}
	return span{upTo(w.since, c.out.Unit), w.until.Truncate(c.out.Unit)}
}

// upTo is the first begin of a unit that is not before t.
func upTo(t time.Time, unit time.Duration) time.Time {
	if begin := t.Truncate(unit); begin.Before(t) {
		return begin.Add(unit)
	}
	return t
}

// counts are numbers of records by the begin of their unit.
type counts map[int64]int64

func (c *comparison) source(ctx context.Context, w span) (counts, error) {
	got := counts{}
	if h, ok := c.reading.(*hunting); ok {
		answer, err := h.count(ctx, w)
		if err != nil {
			return nil, h.explain(err)
		}
		for _, n := range answer.counts {
			got[n.Hour.Unix()] += n.Rows
		}
		return got, nil
	}
	counter, ok := c.errand.tenant.Source.(Counter)
	if !ok {
		return nil, errors.New("the tenant's client does not count")
	}
	ctx = defender.ContextWithMeter(ctx, c.reading.way().meter)
	for at := w.since; at.Before(w.until); at = at.Add(c.out.Unit) {
		n, err := counter.Count(ctx, c.errand.stream.Name, at, at.Add(c.out.Unit))
		if err != nil {
			return nil, err
		}
		got[at.Unix()] = n
	}
	return got, nil
}

func (c *comparison) stored(ctx context.Context, w span) (counts, error) {
	s, e := c.worker.cfg.Store, c.errand
	var rows []store.HourCount
	var err error
	if e.stream.Hunt != nil {
		rows, err = s.HuntHours(ctx, e.stream.Hunt.spec(e.tenant.ID), w.since, w.until)
	} else {
		rows, err = s.UpdatedDays(ctx, e.tenant.ID, e.stream.Name, w.since, w.until)
	}
	if err != nil {
		return nil, err
	}
	got := counts{}
	for _, n := range rows {
		got[n.Hour.Unix()] += n.Rows
	}
	return got, nil
}

// known are the units that differed when they were last read again.
func (c *comparison) known(ctx context.Context, w span) (map[int64]store.Reconciled, error) {
	rows, err := c.worker.cfg.Store.Reconciled(ctx, c.errand.tenant.ID, c.errand.stream.Name, w.since, w.until)
	if err != nil {
		return nil, err
	}
	got := map[int64]store.Reconciled{}
	for _, r := range rows {
		got[r.Hour.Unix()] = r
	}
	return got, nil
}

// tallies are the counts that are compared.
type tallies struct {
	source, stored counts
	known          map[int64]store.Reconciled
}

// compare lists the units whose counts differ and that are to be read again.
func (c *comparison) compare(w span, n tallies) []span {
	var differ []span
	for at := w.since; at.Before(w.until); at = at.Add(c.out.Unit) {
		key := at.Unix()
		source, stored := n.source[key], n.stored[key]
		c.out.Checked++
		c.out.Source += source
		c.out.Stored += stored
		k, known := n.known[key]
		if source == stored {
			if known {
				c.forget = append(c.forget, store.Reconciled{Hour: at})
			}
			continue
		}
		c.out.Differing++
		if known && k.SourceRows == source && k.StoredRows == stored {
			c.out.Explained++
			continue
		}
		differ = append(differ, span{at, at.Add(c.out.Unit)})
	}
	return differ
}

// heal reads the differing units again, counts once more and remembers what
// still differs, so that it is not read again for nothing the next time.
func (c *comparison) heal(ctx context.Context, w span, differ []span, source counts) error {
	c.flawed = map[int64]bool{}
	for _, s := range joined(append(slices.Clone(differ), c.mutable(w)...)) {
		if err := c.readAgain(ctx, s); err != nil {
			return err
		}
	}
	if len(differ) == 0 && len(c.forget) == 0 {
		return nil
	}
	stored, err := c.stored(ctx, w)
	if err != nil {
		return err
	}
	c.out.After = 0
	for at := w.since; at.Before(w.until); at = at.Add(c.out.Unit) {
		c.out.After += stored[at.Unix()]
	}
	counted := source
	if source, err = c.recount(ctx, differ, tallies{source: source, stored: stored}); err != nil {
		return err
	}
	save := c.forget
	for _, s := range differ {
		key := s.since.Unix()
		if source[key] == stored[key] {
			c.out.Healed++
		}
		// What came after the reading explains nothing: it is to be read the next time.
		if came := source[key] != counted[key] && source[key] != stored[key]; !came && !c.flawed[key] {
			save = append(save, store.Reconciled{Hour: s.since, SourceRows: source[key], StoredRows: stored[key]})
		}
	}
	return c.worker.cfg.Store.SaveReconciled(ctx, c.errand.lease, c.errand.stream.Name, c.errand.run.RunID, save)
}

// readAgain notes the units of s where what was read is not whole: that they
// still differ is then no wonder, and nothing to be content with.
func (c *comparison) readAgain(ctx context.Context, s span) error {
	way := c.reading.way()
	before := way.flaws
	if err := c.reading.reread(ctx, s); err != nil {
		return err
	}
	flawed := way.flaws > before || way.cursor.Before(s.until) // a Date of the past ends a reading, too
	for at := s.since; flawed && at.Before(s.until); at = at.Add(c.out.Unit) {
		c.flawed[at.Unix()] = true
	}
	return nil
}

// recount asks the source once more about hours that differ after they were
// read again: rows may have come in between. Of incidents each day is a call.
func (c *comparison) recount(ctx context.Context, differ []span, n tallies) (counts, error) {
	still := slices.DeleteFunc(slices.Clone(differ), func(s span) bool { return n.source[s.since.Unix()] == n.stored[s.since.Unix()] })
	if len(still) == 0 || c.errand.stream.Hunt == nil {
		return n.source, nil
	}
	fresh, err := c.source(ctx, span{still[0].since, still[len(still)-1].until})
	if err != nil {
		return nil, err
	}
	source := maps.Clone(n.source)
	for _, s := range still {
		source[s.since.Unix()] = fresh[s.since.Unix()]
	}
	return source, nil
}

// mutable is the stretch of a table whose rows change that is read again in any case.
func (c *comparison) mutable(w span) []span {
	if c.errand.stream.Hunt == nil || !c.errand.stream.Hunt.mutable {
		return nil
	}
	since := later(w.since, w.until.AddDate(0, 0, -mutableDays))
	if !since.Before(w.until) {
		return nil
	}
	return []span{{since, w.until}}
}

// joined makes spans that touch or overlap one, in order.
func joined(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.since.Compare(b.since) })
	var all []span
	for _, s := range spans {
		if n := len(all); n > 0 && !s.since.After(all[n-1].until) {
			all[n-1].until = later(all[n-1].until, s.until)
			continue
		}
		all = append(all, s)
	}
	return all
}

// followReconcile compares a stream with its source on its own schedule.
func (w *Worker) followReconcile(ctx context.Context, t *tenantState, s Stream) {
	for {
		due := s.Hunt.Reconcile.Next(w.cfg.Now())
		if due.IsZero() || w.sleepUntil(ctx, due) != nil {
			return
		}
		for failures := 0; failures <= maxReconcileRetries; failures++ {
			err := w.compareOnSchedule(ctx, t, s)
			if err == nil || errors.Is(err, store.ErrLeaseHeld) { // another worker holds the tenant, and compares it
				break
			}
			if w.sleepUntil(ctx, w.cfg.Now().Add(retryDelay(failures+1, err))) != nil {
				return
			}
		}
	}
}

// maxReconcileRetries is how often a comparison that failed is tried again
// before its next turn: a day is long to wait for one that was throttled.
const maxReconcileRetries = 5

func (w *Worker) compareOnSchedule(ctx context.Context, t *tenantState, s Stream) error {
	r := w.reconcile(ctx, t, s, ReconcileRequest{})
	log := w.cfg.Log.With("tenant", t.Name, "stream", s.Name, "checked", r.Checked, "differing", r.Differing,
		"healed", r.Healed, "explained", r.Explained, "calls", r.Calls)
	switch {
	case errors.Is(r.Err, store.ErrLeaseHeld):
	case r.Err != nil:
		log.Error("the comparison with the source failed; it is tried again", "err", r.Err)
	default:
		log.Info("compared with the source")
	}
	return r.Err
}
