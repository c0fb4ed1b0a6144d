package defender

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	maxSends   = 4 // of one request, the first included
	maxBackoff = 30 * time.Second
	shortWait  = time.Second // over before another process could start and call
)

// failure is a send that did not succeed, and what it says about the next.
type failure struct {
	err       error         // what the caller gets when it was the last send
	said      refusal       // what a refused send was told
	again     bool          // another send may succeed
	cured     bool          // and need not wait, because the cause is gone
	throttled bool          // a 429: nobody should send for a while
	after     time.Duration // the wait that the service asks for; 0: none
}

// retry is the one place where anything is sent again. Only a failure that
// says so is tried again, at most maxSends times in all, or at most attempts
// times when that is given and the failure is the service's, not a throttling
// or a token that has been replaced. Waits that the service asks for are the
// gate's, where try must be admitted.
func retry[T any](ctx context.Context, gate *limiter, call string, attempts int, try func() (T, *failure)) (T, error) {
	var none T
	for sends := 1; ; sends++ {
		v, f := try()
		if f == nil {
			return v, nil
		}
		held := gate.holdBack(ctx, f, sends)
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if !f.again || sends >= f.bound(attempts) {
			return none, f.err
		}
		gate.logRetry(ctx, call, sends, f)
		if held || f.cured {
			continue
		}
		if err := sleep(ctx, backoff(gate.cfg.Backoff, sends)); err != nil {
			return none, err
		}
	}
}

func (f *failure) bound(attempts int) int {
	if attempts <= 0 || f.throttled || f.cured {
		return maxSends
	}
	return attempts
}

// holdBack closes the gate to everybody for as long as the service asks or,
// after a 429 that does not say, for a backoff, and reports whether it did. A
// wait that is too long to sit out is refused where the next send is admitted.
func (l *limiter) holdBack(ctx context.Context, f *failure, sends int) bool {
	wait := f.after
	if wait == 0 && f.throttled {
		wait = backoff(l.cfg.Backoff, sends)
	}
	if wait == 0 {
		return false
	}
	message := f.err.Error()
	if t, ok := errors.AsType[*ThrottledError](f.err); ok {
		message, t.RetryAfter = t.Message, wait
	}
	l.closeFor(wait+jitter(min(wait, l.cfg.Backoff)), message)
	if f.after > shortWait && l.cfg.OnBlock != nil {
		l.cfg.OnBlock(context.WithoutCancel(ctx), l.cfg.Now().Add(f.after))
	}
	return true
}

func (l *limiter) logRetry(ctx context.Context, call string, sends int, f *failure) {
	attrs := []slog.Attr{slog.String("tenant", l.cfg.Tenant), slog.String("call", call), slog.Int("sends", sends)}
	if f.after > 0 {
		attrs = append(attrs, slog.Duration("retry_after", f.after))
	}
	l.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "request failed", append(attrs, slog.Any("error", f.err))...)
}

// backoff is the wait after the given number of failed sends: doubling from
// base, with the upper half left to chance so that clients fall out of step.
func backoff(base time.Duration, sends int) time.Duration {
	d := min(base<<(sends-1), maxBackoff)
	return d/2 + jitter(d/2)
}

func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
