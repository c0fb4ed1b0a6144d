package sync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// How long a one-shot command waits for a tenant that another worker holds:
// longer than a lease, so that a dead worker's is waited out.
const leaseWait = 20 * time.Second

// WorkerConfig is what a Worker is made of.
type WorkerConfig struct {
	Store    *store.Store
	Tenants  []Tenant
	Owner    string           // who holds the leases; unique per process
	Command  string           // recorded in sync.runs: "run", "sync", "demo"
	Log      *slog.Logger     // nil logs nothing
	Now      func() time.Time // nil is time.Now
	Progress func(Progress)   // called after each commit and at the end; may be nil

	// Patience is how long a database that does not answer is waited for before
	// the passes in it are given up; 0 is a minute.
	Patience time.Duration

	// Waiting is called once when a one-shot pass finds a tenant held.
	Waiting func(tenant string, held error)
}

// Worker syncs streams of tenants into one database. It is safe for use by
// several goroutines; several workers, in one process or many, share tenants
// through leases in the database.
type Worker struct {
	cfg     WorkerConfig
	tenants []*tenantState
}

// tenantState is a tenant with what its streams share.
type tenantState struct {
	Tenant
	lease keeper
	pages chan struct{}            // see pass.pages
	busy  map[string]chan struct{} // by stream: full while one reads it

	holder   atomic.Pointer[string] // who else was last seen to hold the tenant
	replayed sync.Map               // by stream: when a replay has last gone by its whole result, see replayWhole
}

// NewWorker checks the configuration. It starts nothing.
func NewWorker(cfg WorkerConfig) (*Worker, error) {
	if cfg.Store == nil || cfg.Owner == "" || cfg.Command == "" {
		return nil, errors.New("a worker needs a store, an owner and a command")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Patience = cmp.Or(cfg.Patience, leasePatience)
	w := &Worker{cfg: cfg}
	for _, t := range cfg.Tenants {
		state := &tenantState{Tenant: t, lease: keeper{leases: cfg.Store, tenantID: t.ID, owner: cfg.Owner, patience: cfg.Patience}}
		state.lease.taken = func(ctx context.Context) error { return w.countCalls(ctx, t) }
		state.busy, state.pages = map[string]chan struct{}{}, make(chan struct{}, 1)
		for _, s := range t.Streams {
			if err := state.check(s); err != nil {
				return nil, err
			}
			state.busy[s.Name] = make(chan struct{}, 1)
		}
		w.tenants = append(w.tenants, state)
	}
	return w, nil
}

// seeder is a source with limits of its own, such as *defender.Client.
type seeder interface {
	Seed(calls []time.Time)
	CloseUntil(until time.Time, message string)
}

// countCalls tells the source what was called in the last hour, by this worker
// or by another that held the tenant since, and how long the service wants no
// call at all: the limits are the tenant's.
func (w *Worker) countCalls(ctx context.Context, t Tenant) error {
	s := w.cfg.Store
	return errors.Join(
		w.seed(ctx, t, callsOf{t.Source, QuotaFamily, s.BlockedUntil}),
		w.seed(ctx, t, callsOf{t.Hunter, HuntFamily, s.HuntingBlockedUntil}))
}

// callsOf is one client of a tenant, and where its calls are on record.
type callsOf struct {
	client  any
	family  string
	blocked func(ctx context.Context, tenantID string) (time.Time, error)
}

func (w *Worker) seed(ctx context.Context, t Tenant, of callsOf) error {
	source, ok := of.client.(seeder)
	if !ok {
		return nil
	}
	recent, err := w.cfg.Store.RecentCalls(ctx, t.ID, of.family, w.cfg.Now().Add(-time.Hour))
	if err != nil {
		return err
	}
	var calls []time.Time
	for _, c := range recent {
		for range c.Calls {
			calls = append(calls, c.Second)
		}
	}
	source.Seed(calls)
	blocked, err := of.blocked(ctx, t.ID)
	if err != nil {
		return err
	}
	if blocked.After(w.cfg.Now()) {
		source.CloseUntil(blocked, "the service asked an earlier run to wait until "+blocked.UTC().Format(time.RFC3339))
	}
	return nil
}

// Outcome is how a pass ended.
type Outcome string

const (
	OutcomeOK          Outcome = "ok"
	OutcomePartial     Outcome = "partial" // done, but something is in sync.gaps or sync.quarantine, or cannot be had
	OutcomeFailed      Outcome = "failed"
	OutcomeInterrupted Outcome = "interrupted"
	OutcomeLocked      Outcome = "locked" // not made: another worker holds the tenant
)

// Result is what one pass of one stream did.
type Result struct {
	Tenant  string
	Stream  string
	Outcome Outcome
	Read    int64 // records read, before duplicates are folded
	store.Counts
	Calls       int64
	Throttled   time.Duration
	Elapsed     time.Duration
	Gaps        int
	Quarantined int
	Beyond      time.Duration // of the range asked for, older than the service keeps
	Warning     string
	Err         error // why it failed or was interrupted

	asked span // what a backfill is judged by; the zero span is all of the stream
}

// Sync makes one pass of the named streams, all where none is named, of the
// named tenant, or of all. Streams fail alone: every pass that could be made
// has a result. Which names exist is the caller's to check.
func (w *Worker) Sync(ctx context.Context, tenant string, streams []string) []Result {
	results := make([][]Result, len(w.tenants))
	var wg sync.WaitGroup
	for i, t := range w.tenants {
		if tenant != "" && tenant != t.Name {
			continue
		}
		wg.Go(func() { results[i] = w.syncTenant(ctx, t, streams) })
	}
	wg.Wait()
	return slices.Concat(results...)
}

// each calls f for the named streams, all where none is named, of the named
// tenant, or of all, one after the other.
func (w *Worker) each(tenant string, streams []string, f func(*tenantState, Stream)) {
	for _, t := range w.tenants {
		if tenant != "" && tenant != t.Name {
			continue
		}
		for _, s := range t.Streams {
			if len(streams) == 0 || slices.Contains(streams, s.Name) {
				f(t, s)
			}
		}
	}
}

func (w *Worker) syncTenant(ctx context.Context, t *tenantState, names []string) []Result {
	var chosen []Stream
	for _, s := range t.Streams {
		if len(names) == 0 || slices.Contains(names, s.Name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	began := micro(w.cfg.Now())
	ctx, lease, release, err := w.await(ctx, t)
	var results []Result
	if err != nil {
		for _, s := range chosen {
			results = append(results, w.refused(ctx, errand{tenant: t, stream: s, run: store.Run{StartedAt: began}}, err))
		}
		return results
	}
	defer release()
	for _, s := range chosen {
		results = append(results, w.pass(ctx, lease, t, s, true))
	}
	return results
}

// await takes a tenant's lease for a one-shot command.
func (w *Worker) await(ctx context.Context, t *tenantState) (context.Context, store.Lease, func(), error) {
	deadline := time.Now().Add(leaseWait)
	for told := false; ; {
		held, lease, release, err := t.lease.hold(ctx)
		if !errors.Is(err, store.ErrLeaseHeld) || time.Now().After(deadline) {
			if err != nil {
				held = ctx
			}
			return held, lease, release, err
		}
		if !told && w.cfg.Waiting != nil {
			w.cfg.Waiting(t.Name, err)
		}
		told = true
		if err := sleep(ctx, time.Second); err != nil {
			return ctx, store.Lease{}, nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// failed fills in the end of a pass that could not be made or finished.
func failed(ctx context.Context, r Result, err error) Result {
	r.Outcome, r.Err = OutcomeFailed, err
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, store.ErrFenced) || errors.Is(cause, errSilent):
		r.Err = cause // and not that the context was canceled, which is how the pass heard of it
	case ctx.Err() != nil:
		r.Outcome = OutcomeInterrupted
	}
	switch {
	case errors.Is(r.Err, store.ErrLeaseHeld):
		r.Outcome = OutcomeLocked
	case errors.Is(r.Err, store.ErrFenced):
		r.Outcome = OutcomeInterrupted // as whoever took the tenant has recorded it
	}
	return r
}

// refused is the result of an errand that could not be begun, since the lease
// was not to be had. What gave up because another worker has the tenant is put
// on record, with the time from e.run: else a schedule of one-shot commands that
// all give up would leave nothing to find.
func (w *Worker) refused(ctx context.Context, e errand, err error) Result {
	r := failed(ctx, Result{Tenant: e.tenant.Name, Stream: e.stream.Name}, err)
	if r.Outcome != OutcomeLocked {
		return r
	}
	run := store.Run{RunID: newRunID(), TenantID: e.tenant.ID, Stream: e.stream.Name, Command: cmp.Or(e.run.Command, w.cfg.Command),
		StartedAt: e.run.StartedAt, FinishedAt: micro(w.cfg.Now()), Error: err.Error()}
	var held *store.HeldError
	if errors.As(err, &held) {
		run.Error = held.Error()
	}
	if err := w.cfg.Store.RecordLocked(ctx, run); err != nil {
		w.logOf(e).Error("the run that gave up could not be recorded", "err", err)
	}
	w.log(r, w.logOf(e))
	return r
}

// pass makes one pass of one stream under a lease, from its record in sync.runs
// to its result. With heal it also reads again what earlier passes left out.
func (w *Worker) pass(ctx context.Context, lease store.Lease, t *tenantState, s Stream, heal bool) Result {
	return w.recorded(ctx, errand{lease: lease, tenant: t, stream: s}, func(ctx context.Context, e errand, r *Result) error {
		p, err := w.newReading(ctx, e)
		if err != nil {
			return err
		}
		defer p.close()
		defer func() { r.count(p.way()) }()
		before := p.way().cp.PassedAt
		if err := p.read(ctx); err != nil {
			return err
		}
		if r.Warning, err = p.way().warning(ctx, w.cfg.Store, before); err != nil || !heal {
			return err
		}
		if err := w.retain(ctx, e); err != nil {
			return err
		}
		if err := healGaps(ctx, p, w.cfg.Store, w.logOf(e)); err != nil {
			return err
		}
		return w.healCutOff(ctx, e, p.way())
	})
}

// recorded does a stream's work between the begin and the end of its record in
// sync.runs.
func (w *Worker) recorded(ctx context.Context, e errand, work func(context.Context, errand, *Result) error) Result {
	r := Result{Tenant: e.tenant.Name, Stream: e.stream.Name}
	done, err := e.tenant.turn(ctx, e.stream.Name)
	if err != nil {
		return failed(ctx, r, err)
	}
	defer done()
	began := time.Now()
	e.run = store.Run{RunID: newRunID(), TenantID: e.tenant.ID, Stream: e.stream.Name, Command: cmp.Or(e.run.Command, w.cfg.Command),
		StartedAt: micro(w.cfg.Now()), Outcome: "running"}
	log := w.logOf(e)
	if err := w.cfg.Store.StartRun(ctx, e.lease, e.run); err != nil {
		r = failed(ctx, r, err)
		if r.Outcome == OutcomeInterrupted { // perhaps on record all the same: then it is not to stay under way
			_ = w.finishRun(ctx, e.run, r)
		}
		w.log(r, log)
		return r
	}
	err = work(ctx, e, &r)
	if w.cfg.Progress != nil {
		w.cfg.Progress(Progress{Tenant: r.Tenant, Stream: r.Stream, Ended: true})
	}
	r.Elapsed = time.Since(began)
	if err != nil {
		r = failed(ctx, r, err)
	} else {
		r = w.settle(ctx, e, r)
	}
	w.finish(ctx, e.run, r, log)
	return r
}

// turn waits until nobody else of this worker reads the stream. A pass and a
// comparison would move its checkpoint under each other's feet.
func (t *tenantState) turn(ctx context.Context, stream string) (done func(), err error) {
	return takeTurn(ctx, t.busy[stream])
}

// takeTurn waits until it is the one element in ch, and no longer than ctx: who
// is ahead may be waiting for minutes to be let in by the service.
func takeTurn(ctx context.Context, ch chan struct{}) (done func(), err error) {
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w *Worker) logOf(e errand) *slog.Logger {
	return w.cfg.Log.With("tenant", e.tenant.Name, "stream", e.stream.Name)
}

// count takes over what the pass did.
func (r *Result) count(p *course) {
	r.Read, r.Counts, r.Calls = p.tally.read, p.tally.Counts, p.meter.Calls.Load()
	r.Throttled = time.Duration(p.meter.Throttled.Load())
	r.note(p.notes)
}

// note adds what is not in the warning yet.
func (r *Result) note(texts []string) {
	for _, text := range texts {
		if strings.Contains(r.Warning, text) {
			continue
		}
		if r.Warning != "" {
			r.Warning += noteEnd
		}
		r.Warning += text
	}
}

// errand is what one pass is made for.
type errand struct {
	lease  store.Lease
	tenant *tenantState
	stream Stream
	run    store.Run
}

// newReading begins a pass of the kind that the stream needs.
func (w *Worker) newReading(ctx context.Context, e errand) (reading, error) {
	if e.stream.Hunt != nil {
		return w.newHunt(ctx, e)
	}
	return w.newPass(ctx, e)
}

func (w *Worker) newPass(ctx context.Context, e errand) (reading, error) {
	ep, err := e.tenant.endpoint(e.stream.Name)
	if err != nil {
		return nil, err
	}
	p := &pass{ep: ep, alerts: e.tenant.Source.IncidentAlerts, pages: e.tenant.pages}
	if p.course, err = w.newCourse(ctx, e); err != nil {
		return nil, err
	}
	return p, p.begin(e.run.StartedAt)
}

// newCourse is what a pass of any kind needs to know.
func (w *Worker) newCourse(ctx context.Context, e errand) (course, error) {
	cp, err := w.cfg.Store.Checkpoint(ctx, e.tenant.ID, e.stream.Name)
	if err != nil {
		return course{}, err
	}
	cp.TenantID, cp.Stream = e.tenant.ID, e.stream.Name
	c := course{stream: e.stream, ledger: w.cfg.Store, lease: e.lease, runID: e.run.RunID, now: w.cfg.Now, started: e.run.StartedAt,
		cp: cp, meter: new(defender.Meter)}
	if w.cfg.Progress != nil {
		c.progress = func(g Progress) { g.Tenant = e.tenant.Name; w.cfg.Progress(g) }
	}
	return c, nil
}

var _ Source = (*defender.Client)(nil)
