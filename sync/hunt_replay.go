package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
)

// replayHunt tries once more to store what a hunting stream has in quarantine.
func (w *Worker) replayHunt(ctx context.Context, e errand, row store.QuarantineRow) error {
	err := w.tryHunt(ctx, e, row)
	var never *store.UnstorableError
	if err == nil || ctx.Err() != nil || errors.As(err, &never) {
		return err
	}
	return errors.Join(err, w.cfg.Store.QuarantineFailed(ctx, e.tenant.ID, row.ID, err.Error()))
}

func (w *Worker) tryHunt(ctx context.Context, e errand, row store.QuarantineRow) error {
	i := slices.IndexFunc(e.tenant.Streams, func(s Stream) bool { return s.Name == row.Stream && s.Hunt != nil })
	if i < 0 {
		return &store.UnstorableError{Why: fmt.Sprintf("the stream %s is not in the configuration any more", row.Stream)}
	}
	e.stream = e.tenant.Streams[i]
	switch {
	case row.Kind == kindResponse:
		return w.replayWindow(ctx, e, row)
	case row.Kind != kindHuntingRow:
		return fmt.Errorf("quarantine row of unknown kind %q", row.Kind)
	case row.Key != "" && e.stream.Hunt.Mode != ModeEvents:
		return w.replayWhole(ctx, e, row)
	}
	done, err := e.tenant.turn(ctx, e.stream.Name)
	if err != nil {
		return err
	}
	defer done()
	_, err = w.cfg.Store.ReplayHunt(ctx, store.HuntReplay{Lease: e.lease, Row: row, Spec: e.stream.Hunt.spec(e.tenant.ID)})
	return err
}

// replayWindow reads the window again of which the service gave no answer that
// could be read. It is done when all of the window is complete, in however many
// answers that was.
func (w *Worker) replayWindow(ctx context.Context, e errand, row store.QuarantineRow) error {
	window, _, err := parseWindowKey(row.Key)
	if err != nil {
		return &store.UnstorableError{Why: err.Error()}
	}
	if e.stream.Hunt.Mode != ModeEvents {
		return &store.UnstorableError{Why: fmt.Sprintf("the stream is read whole now (mode %s), and has no windows that could be read again", e.stream.Hunt.Mode)}
	}
	seen := hunting{course: course{stream: e.stream, now: w.cfg.Now}, hunt: e.stream.Hunt}
	if oldest := seen.sight(); !window.until.After(oldest) {
		return &store.UnstorableError{Why: fmt.Sprintf("the service shows nothing from before %s any more: the window stays in sync.gaps", oldest.UTC().Format(time.RFC3339))}
	}
	res := w.recorded(ctx, e, func(ctx context.Context, e errand, r *Result) error {
		p, err := w.newReading(ctx, e)
		if err != nil {
			return err
		}
		defer p.close()
		defer func() { r.count(p.way()) }()
		if err := p.reread(ctx, window); err != nil {
			return err
		}
		if p.way().flaws > 0 {
			return errors.New("the service still does not give all of the window")
		}
		return nil
	})
	if res.Err != nil {
		return res.Err
	}
	_, err = w.cfg.Store.Replay(ctx, store.Replay{Lease: e.lease, ID: row.ID})
	return err
}

// replayAgain is for how long one reading of a whole result decides about the
// rows that are replayed one after the other.
const replayAgain = time.Minute

// replayWhole reads the result again that a refused row was part of: what it is
// now decides what is in the table, not what it was then. Whoever replays many
// rows of a table reads it once.
func (w *Worker) replayWhole(ctx context.Context, e errand, row store.QuarantineRow) error {
	last, read := e.tenant.replayed.Load(e.stream.Name)
	if !read || time.Since(last.(time.Time)) > replayAgain {
		if r := w.pass(ctx, e.lease, e.tenant, e.stream, false); r.Err != nil {
			return r.Err
		}
	}
	e.tenant.replayed.Store(e.stream.Name, time.Now())
	_, err := w.cfg.Store.QuarantineGet(ctx, row.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return &store.UnstorableError{Why: "the result has just been read again, and the row was not stored: PostgreSQL still refuses it, or it is in the result no more"}
}
