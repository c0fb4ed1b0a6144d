package defender

import (
	"context"
	"slices"
	"sync"
	"time"
)

// seedGrace is how much later than its recorded time a call of an earlier
// process may have been counted by the service: up to a second of rounding,
// and the way there.
const seedGrace = 2 * time.Second

// limiter is a sliding log of calls. The service counts a call at some instant
// between its sending and its answer, so a call occupies its place from the
// first until a whole window after the second: then no window of the
// service's, wherever it begins, can hold more than the limit. A token bucket
// would let through up to twice as much.
//
// It is also the gate that a Retry-After closes for everybody, and where calls
// wait when as many as may be are in flight.
type limiter struct {
	cfg     *Config
	windows []window
	flights chan struct{} // one element for each call in flight; nil: any number may be

	turn chan struct{} // held by the one caller that may be admitted next: first come, first served
	wake chan struct{} // tells that caller that a place was given back

	mu      sync.Mutex
	calls   []*slot
	closed  time.Time // no call before this instant
	message string    // why
}

type window struct {
	length time.Duration
	limit  int
}

// slot is one call's place in the log.
type slot struct {
	recorded time.Time // when OnCall was told; how seed knows its own calls again
	answered time.Time // zero while in flight
}

// newGate makes a limiter without limits.
func newGate(c *Config) *limiter {
	return &limiter{cfg: c, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

func newLimiter(c *Config) *limiter {
	l := newGate(c)
	if c.Limits.Concurrent > 0 {
		l.flights = make(chan struct{}, c.Limits.Concurrent)
	}
	for _, w := range []window{{time.Minute, c.Limits.PerMinute}, {time.Hour, c.Limits.PerHour}} {
		if w.limit > 0 {
			l.windows = append(l.windows, w)
		}
	}
	l.seed(c.Seed)
	return l
}

// seed adds recorded calls to the log, except those that it has already: of
// its own it knows the answers too, which a record does not. Records keep
// whole seconds, so calls are told apart by their second and number.
func (l *limiter) seed(recorded []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := make(map[int64]int, len(l.calls))
	for _, s := range l.calls {
		have[s.recorded.Unix()]++
	}
	now := l.cfg.Now()
	for _, at := range recorded {
		if have[at.Unix()] > 0 {
			have[at.Unix()]--
			continue
		}
		counted := at
		if counted.After(now) { // by another machine's clock; it was not later than now
			counted = now
		}
		l.calls = append(l.calls, &slot{recorded: at, answered: counted.Add(seedGrace)})
	}
}

// admit waits until a call may be sent and returns its slot, which the caller
// must give to answered or cancel, and then call leave. The wait is added to
// the context's Meter, but for that until another call is over: nobody asked
// for that one. A gate that stays closed for longer than MaxWait is a
// *ThrottledError at once.
func (l *limiter) admit(ctx context.Context) (*slot, error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	s, err := l.wait(ctx)
	if err != nil {
		l.leave()
	}
	return s, err
}

// enter waits, first come, first served, until fewer calls are in flight than
// may be.
func (l *limiter) enter(ctx context.Context) error {
	if l.flights == nil {
		return nil
	}
	if err := l.shut(); err != nil {
		return err
	}
	select {
	case l.flights <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave says that an admitted call is over, its answer's body included.
func (l *limiter) leave() {
	if l.flights != nil {
		<-l.flights
	}
}

// shut is the *ThrottledError of a gate that is closed for too long, or nil.
func (l *limiter) shut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal(l.cfg.Now())
}

// open says whether nobody has asked for silence.
func (l *limiter) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed.After(l.cfg.Now())
}

// refusal is shut for those who hold mu.
func (l *limiter) refusal(now time.Time) error {
	rest := l.closed.Sub(now)
	if rest <= l.cfg.MaxWait+l.cfg.Backoff { // the jitter may add up to a Backoff
		return nil
	}
	return &ThrottledError{RetryAfter: rest, Message: l.message, CPU: aboutCPU(l.message)}
}

// wait is admit but for the calls in flight.
func (l *limiter) wait(ctx context.Context) (*slot, error) {
	start := l.cfg.Now()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.turn }()
	defer func() {
		if waited := l.cfg.Now().Sub(start); waited > 0 {
			meterFrom(ctx).Throttled.Add(int64(waited))
		}
	}()
	for told := (Wait{}); ; {
		s, wait, err := l.try()
		if s != nil || err != nil {
			return s, err
		}
		known := ctx.Err() != nil || told.For > 0 && told.Limit == wait.Limit
		if tell := meterFrom(ctx).Waiting; tell != nil && !known && wait.For > shortWait {
			told = wait
			tell(wait)
		}
		if err := l.sleep(ctx, wait.For); err != nil {
			return nil, err
		}
	}
}

// try returns a slot, or the wait before one can be free.
func (l *limiter) try() (*slot, Wait, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	if err := l.refusal(now); err != nil {
		return nil, Wait{}, err
	}
	if rest := l.closed.Sub(now); rest > 0 {
		return nil, Wait{For: rest}, nil
	}
	l.forget(now)
	var longest Wait
	for _, w := range l.windows {
		if wait := w.wait(l.calls, now); wait > longest.For {
			longest = Wait{wait, w.limit, w.length}
		}
	}
	if longest.For > 0 {
		return nil, longest, nil
	}
	s := new(slot)
	l.calls = append(l.calls, s)
	return s, Wait{}, nil
}

// wait returns how long until the window has room for one more call; 0 is now.
func (w window) wait(calls []*slot, now time.Time) time.Duration {
	inFlight, ends := 0, make([]time.Time, 0, len(calls))
	for _, s := range calls {
		if s.answered.IsZero() {
			inFlight++
		} else if end := s.answered.Add(w.length); end.After(now) {
			ends = append(ends, end)
		}
	}
	mustEnd := inFlight + len(ends) - w.limit + 1
	switch {
	case mustEnd <= 0:
		return 0
	case mustEnd > len(ends):
		return w.length // a call still in flight will count for at least that long
	}
	slices.SortFunc(ends, time.Time.Compare)
	return ends[mustEnd-1].Sub(now)
}

// forget drops the calls that no window counts any more.
func (l *limiter) forget(now time.Time) {
	var longest time.Duration
	for _, w := range l.windows {
		longest = max(longest, w.length)
	}
	l.calls = slices.DeleteFunc(l.calls, func(s *slot) bool {
		return !s.answered.IsZero() && !s.answered.Add(longest).After(now)
	})
}

func (l *limiter) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.wake:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// answered says that the call of s is over, whatever came of it.
func (l *limiter) answered(s *slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.answered = l.cfg.Now()
}

// record notes when the call of s went on record.
func (l *limiter) record(s *slot, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.recorded = at
}

// cancel gives back a slot whose call was never sent.
func (l *limiter) cancel(s *slot) {
	l.mu.Lock()
	l.calls = slices.DeleteFunc(l.calls, func(have *slot) bool { return have == s })
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// closeFor lets nobody through for d; a gate closed for longer stays so.
func (l *limiter) closeFor(d time.Duration, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.cfg.Now().Add(d); until.After(l.closed) {
		l.closed, l.message = until, message
	}
}
