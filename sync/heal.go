package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// maxHealed bounds how many gaps one pass reads again, so that a source that
// keeps refusing them can't hold up what is new.
const maxHealed = 5

// healGaps reads again what an earlier pass had to leave out. Of more than
// maxHealed it takes any, so that those that stay refused can't hold up the others.
func healGaps(ctx context.Context, p reading, s *store.Store, log *slog.Logger) error {
	left, err := p.way().leftOut(ctx, s)
	if err != nil {
		return err
	}
	for _, i := range rand.Perm(len(left))[:min(len(left), maxHealed)] {
		gap := left[i]
		log.Info("reading again what was left out", "from", gap.since, "to", gap.until)
		switch err := p.reread(ctx, gap); {
		case errors.Is(err, errSlow):
			log.Warn("what was left out is still not to be had", "err", err)
			return nil // what is new has been read; this stays a gap, and costs minutes
		case err != nil:
			return err
		}
	}
	return nil
}

// leftOut lists gaps and the windows of answers in quarantine, which may be no
// gap: the instant had been read before. What this pass has just tried is not
// among them.
func (p *course) leftOut(ctx context.Context, s *store.Store) ([]span, error) {
	gaps, err := s.Gaps(ctx, p.cp.TenantID, p.stream.Name)
	if err != nil {
		return nil, err
	}
	held, err := s.QuarantineList(ctx, store.QuarantineFilter{TenantID: p.cp.TenantID, Stream: p.stream.Name})
	if err != nil {
		return nil, err
	}
	var left []span
	known := map[int64]bool{} // begins of gaps
	for _, g := range gaps {
		known[g.From.UnixMicro()] = true
		if g.From.Before(p.stoodAt) && g.To.After(p.oldest) {
			left = append(left, span{g.From, g.To})
		}
	}
	for _, q := range held {
		if q.Kind != kindResponse || q.RunID == p.runID {
			continue
		}
		w, place, err := parseWindowKey(q.Key)
		if err == nil && place == "" && !known[w.since.UnixMicro()] && w.until.Before(p.cursor) && w.until.After(p.oldest) {
			left = append(left, w)
		}
	}
	return left, nil
}

// cutOffRest is how long after an attempt the next one is worth a request.
const cutOffRest = time.Hour

// healCutOff asks again for the alerts that a bad answer cut off from their
// incident: they are no gap, and the incident may never change again. It ends
// with the first that fail, because each such failure may have cost minutes;
// they rest, so that the next pass comes to others. What it calls and stores is p's.
func (w *Worker) healCutOff(ctx context.Context, e errand, p *course) error {
	if e.stream.Name != IncidentsStream {
		return nil
	}
	ctx = defender.ContextWithMeter(ctx, p.meter)
	due, err := w.cfg.Store.QuarantineList(ctx, store.QuarantineFilter{TenantID: e.tenant.ID, Stream: e.stream.Name,
		Kind: kindIncidentAlerts, Rested: cutOffRest})
	if err != nil {
		return err
	}
	for _, i := range rand.Perm(len(due))[:min(len(due), maxHealed)] {
		counts, err := w.restore(ctx, e, due[i])
		p.count(counts)
		switch {
		case ctx.Err() != nil || errors.Is(err, store.ErrFenced):
			return err
		case err != nil:
			w.logOf(e).Warn("the alerts of an incident are still not to be had", "incident", due[i].Key, "err", err)
			return nil
		}
		w.logOf(e).Info("read the alerts that were cut off from their incident", "incident", due[i].Key)
	}
	return nil
}

// windowKey is the key in quarantine of an answer that could not be read, so
// that a replay knows what to ask for again. "#place" may follow, where one
// record was stepped over.
func windowKey(w span) string {
	return w.since.Format(time.RFC3339Nano) + "/" + w.until.Format(time.RFC3339Nano)
}

func parseWindowKey(key string) (w span, place string, err error) {
	window, place, _ := strings.Cut(key, "#")
	since, until, _ := strings.Cut(window, "/")
	if w.since, err = time.Parse(time.RFC3339Nano, since); err == nil {
		w.until, err = time.Parse(time.RFC3339Nano, until)
	}
	if err != nil {
		return span{}, "", fmt.Errorf("quarantine key %q is not a window: %w", key, err)
	}
	return w, place, nil
}
