package sync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"defendersync/store"
)

// coverageDetail is how long sync.coverage keeps one row per window; older
// complete ones are merged.
const coverageDetail = 24 * time.Hour

// runsKept is how long sync.runs remembers.
const runsKept = 90 * 24 * time.Hour

// settle finishes a pass that read everything: it says whether everything is
// also stored, and tidies the ledger.
func (w *Worker) settle(ctx context.Context, e errand, r Result) Result {
	id, stream := e.tenant.ID, e.stream.Name
	gaps, err := w.cfg.Store.Gaps(ctx, id, stream)
	if err != nil {
		return failed(ctx, r, err)
	}
	quarantined, err := w.cfg.Store.QuarantineList(ctx, store.QuarantineFilter{TenantID: id, Stream: stream})
	if err != nil {
		return failed(ctx, r, err)
	}
	if r.asked != (span{}) {
		gaps = slices.DeleteFunc(gaps, func(g store.Gap) bool { return !g.From.Before(r.asked.until) || !g.To.After(r.asked.since) })
	}
	r.Gaps, r.Quarantined, r.Outcome = len(gaps), len(quarantined), OutcomeOK
	if r.Gaps > 0 || r.Quarantined > 0 || r.Beyond > 0 {
		r.Outcome = OutcomePartial
	}
	now := w.cfg.Now()
	if err := w.cfg.Store.CompactCoverage(ctx, e.lease, stream, micro(now.Add(-coverageDetail))); err != nil {
		return failed(ctx, r, err)
	}
	if err := w.cfg.Store.PruneRuns(ctx, id, now.Add(-runsKept)); err != nil {
		return failed(ctx, r, err)
	}
	return r
}

// finish records how a pass ended, even when it was told to stop.
func (w *Worker) finish(ctx context.Context, run store.Run, r Result, log *slog.Logger) {
	if err := w.finishRun(ctx, run, r); err != nil {
		log.Error("the run could not be recorded", "err", err)
	}
	w.log(r, log)
}

// toldToStop is on record of a pass that a signal interrupted.
const toldToStop = "its worker was told to stop"

// finishRun is finish without a word about it.
func (w *Worker) finishRun(ctx context.Context, run store.Run, r Result) error {
	run.FinishedAt, run.Outcome = micro(w.cfg.Now()), string(r.Outcome)
	run.RowsRead, run.Counts, run.Calls = r.Read, r.Counts, r.Calls
	run.ThrottledSeconds, run.Warning = r.Throttled.Seconds(), r.Warning
	switch {
	case r.Outcome == OutcomeInterrupted && !errors.Is(r.Err, store.ErrFenced):
		run.Error = toldToStop // the call that heard of it first is no news
	case r.Err != nil:
		run.Error = r.Err.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(leaseBeat, w.cfg.Patience))
	defer cancel()
	return w.cfg.Store.FinishRun(ctx, run)
}

func (w *Worker) log(r Result, log *slog.Logger) {
	log = log.With("read", r.Read, "inserted", r.Inserted, "updated", r.Updated, "unchanged", r.Unchanged,
		"calls", r.Calls, "elapsed", r.Elapsed.Round(time.Millisecond))
	switch r.Outcome {
	case OutcomeOK:
		log.Info("pass complete")
	case OutcomePartial:
		if r.Gaps > 0 || r.Quarantined > 0 { // else the warning says what cannot be had
			log.Warn("pass done, but not complete: see sync.gaps and sync.quarantine", "gaps", r.Gaps, "quarantined", r.Quarantined)
		}
	case OutcomeInterrupted:
		log.Info("pass interrupted; the next one resumes", "err", r.Err)
	case OutcomeLocked:
		log.Warn("pass not made: another worker holds the tenant", "err", r.Err)
	default:
		log.Error("pass failed; the next one resumes", "err", r.Err)
	}
	if r.Warning != "" {
		log.Warn(r.Warning)
	}
}
