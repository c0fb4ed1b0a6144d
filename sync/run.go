package sync

import (
	"context"
	"errors"
	"sync"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/google/uuid"
)

// clockSkew is how far the clocks of two workers may differ without both
// making the same firing's pass.
const clockSkew = 5 * time.Second

// longestNap bounds one wait, so that a machine that slept notices on waking.
const longestNap = time.Minute

// heldNap is how often a worker looks again at a tenant that another holds.
const heldNap = 2 * time.Second

// A stream that failed is tried again before its next firing, at first after
// retryFirst and then at doubling distance.
const (
	retryFirst = 15 * time.Second
	retryLast  = 10 * time.Minute
)

// healEvery is how often a worker reads again what was left out: isolating a
// record that stays bad costs requests, which what is new should have.
const healEvery = time.Hour

// newRunID is time-ordered, so that sync.runs grows at its end.
func newRunID() string { return uuid.Must(uuid.NewV7()).String() }

// Run follows the schedule of every stream until ctx ends. A first pass is made
// at once. What the schedule missed, by sleep or by a clock change, is not made
// up for: one pass brings a stream up to date, however much time it covers.
func (w *Worker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, t := range w.tenants {
		for _, s := range t.Streams {
			wg.Go(func() { w.follow(ctx, t, s) })
			if s.Hunt != nil && uncountable(t, s) == "" {
				wg.Go(func() { w.followReconcile(ctx, t, s) })
			}
		}
	}
	wg.Wait()
}

// follow makes the passes of one stream, one after the other, so that a pass
// that is still going when its next time comes is not started twice.
func (w *Worker) follow(ctx context.Context, t *tenantState, s Stream) {
	due := w.cfg.Now()
	var healed time.Time
	for failures := 0; ctx.Err() == nil; {
		heal := due.Sub(healed) >= healEvery
		if heal {
			healed = due
		}
		err := w.fire(ctx, t, s, firing{due, heal})
		now := w.cfg.Now()
		due = s.Schedule.Next(now)
		if err == nil {
			failures = 0
		} else {
			failures++
			due = earlier(due, now.Add(retryDelay(failures, err)))
		}
		if w.sleepUntil(ctx, due) != nil {
			return
		}
	}
}

// retryDelay is the wait after so many failures in a row, and never less than
// what the service asked for.
func retryDelay(failures int, err error) time.Duration {
	delay := min(retryFirst<<min(failures-1, 10), retryLast)
	var throttled *defender.ThrottledError
	if errors.As(err, &throttled) {
		delay = max(delay, throttled.RetryAfter)
	}
	return delay
}

func (w *Worker) sleepUntil(ctx context.Context, due time.Time) error {
	for {
		left := due.Sub(w.cfg.Now())
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, min(left, longestNap)); err != nil {
			return err
		}
	}
}

// firing is one pass that the schedule asks for.
type firing struct {
	due  time.Time
	heal bool // gaps are to be read again, too
}

// fire makes the pass that is due, unless another worker makes it first. Only
// the error of a pass of our own is returned.
func (w *Worker) fire(ctx context.Context, t *tenantState, s Stream, f firing) error {
	tolerance := min(clockSkew, s.Schedule.Next(f.due).Sub(f.due)/2)
	for {
		held, lease, release, err := t.lease.hold(ctx)
		switch {
		case errors.Is(err, store.ErrLeaseHeld) || errors.Is(err, store.ErrFenced):
			w.standBy(t, err)
		case err != nil:
			w.cfg.Log.Error("the tenant's lease could not be taken", "tenant", t.Name, "stream", s.Name, "err", err)
			return err
		default:
			defer release()
		}
		cp, cpErr := w.passed(ctx, t, s)
		switch {
		case cpErr == nil && !cp.PassedAt.Before(f.due.Add(-tolerance)):
			return nil // somebody made it
		case err == nil:
			return w.pass(held, lease, t, s, f.heal).Err
		}
		if err := sleep(ctx, heldNap); err != nil {
			return nil
		}
	}
}

// standBy says who else holds the tenant, once for each: workers that share one take
// turns, and would say it at every firing.
func (w *Worker) standBy(t *tenantState, err error) {
	var held *store.HeldError
	if !errors.As(err, &held) {
		return
	}
	if before := t.holder.Swap(&held.Owner); before == nil || *before != held.Owner {
		w.cfg.Log.Info("another worker holds the tenant: standing by", "tenant", t.Name, "holder", held.Owner)
	}
}

// passed reads how far the stream has come, for as long as patience lasts.
func (w *Worker) passed(ctx context.Context, t *tenantState, s Stream) (store.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Patience)
	defer cancel()
	return w.cfg.Store.Checkpoint(ctx, t.ID, s.Name)
}
