package defender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// load is a drawn burst of callers against a service that counts each call at
// some instant between its sending and its answer.
type load struct {
	perMinute, perHour int
	seed               []time.Duration // ages of earlier calls, in whole seconds
	calls              []drawnCall
}

type drawnCall struct {
	start, toService, back time.Duration
	gone                   bool // the caller gives up half a minute after start
}

func drawLoad(t *rapid.T) load {
	seconds := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most*1000).Draw(t, label)) * time.Millisecond
	}
	l := load{perMinute: rapid.IntRange(0, 6).Draw(t, "per minute"), perHour: rapid.IntRange(0, 25).Draw(t, "per hour")}
	for range rapid.IntRange(0, 6).Draw(t, "seeds") {
		l.seed = append(l.seed, seconds("age", 3700))
	}
	for range rapid.IntRange(1, 40).Draw(t, "calls") {
		l.calls = append(l.calls, drawnCall{seconds("start", 300), seconds("to service", 40), seconds("back", 40),
			rapid.IntRange(0, 5).Draw(t, "gone") == 0})
	}
	return l
}

// run plays the load and returns when the service counted calls, the earlier
// ones included.
func (l load) run(t *testing.T) (counted []time.Time) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		start := time.Now()
		cfg, err := Config{Limits: Limits{PerMinute: l.perMinute, PerHour: l.perHour}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		for _, age := range l.seed {
			counted = append(counted, start.Add(-age))
			cfg.Seed = append(cfg.Seed, start.Add(-age).Truncate(time.Second))
		}
		lim := newLimiter(&cfg)
		var wg sync.WaitGroup
		for _, c := range l.calls {
			wg.Go(func() {
				ctx := t.Context()
				time.Sleep(c.start)
				if c.gone {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
					defer cancel()
				}
				place, err := lim.admit(ctx)
				if err != nil {
					return
				}
				time.Sleep(c.toService)
				mu.Lock()
				counted = append(counted, time.Now())
				mu.Unlock()
				time.Sleep(c.back)
				lim.answered(place)
			})
		}
		wg.Wait()
	})
	slices.SortFunc(counted, time.Time.Compare)
	return counted
}

// crowded returns a window of the length that holds more calls than the
// limit; "" when there is none.
func crowded(counted []time.Time, length time.Duration, limit int, since time.Time) string {
	if limit == 0 {
		return ""
	}
	for i := limit; i < len(counted); i++ {
		first, last := counted[i-limit], counted[i]
		if last.Sub(first) < length && !last.Before(since) { // what the seed alone broke is not ours
			return fmt.Sprintf("%d calls from %s to %s", limit+1, first, last)
		}
	}
	return ""
}

func TestNoWindowEverHoldsMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLoad(rt)
		counted := l.run(t)
		began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every synctest bubble
		for length, limit := range map[time.Duration]int{time.Minute: l.perMinute, time.Hour: l.perHour} {
			if w := crowded(counted, length, limit, began.Add(1)); w != "" {
				rt.Fatalf("limit %d in %s exceeded: %s", limit, length, w)
			}
		}
		stayed := len(l.seed)
		for _, c := range l.calls {
			if !c.gone {
				stayed++
			}
		}
		if len(counted) < stayed {
			rt.Fatalf("%d calls counted, want at least %d", len(counted), stayed)
		}
	})
}

// The limit is also used: a limiter that lets too little through is safe and useless.
func TestLimitIsUsedInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := new(wireFake)
		c := newTestClient(t, fake, func(c *Config) { c.Limits = Limits{PerMinute: 10, PerHour: 15} })
		start := time.Now()
		var m Meter
		for i, until := range []struct {
			calls int
			took  time.Duration
		}{{10, 0}, {15, time.Minute}, {25, time.Hour}} {
			for fake.sent() < until.calls {
				if _, err := incidents(ContextWithMeter(t.Context(), &m), c); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took != until.took {
				t.Errorf("step %d: %d calls took %s, want %s", i, until.calls, took, until.took)
			}
		}
		if got := time.Duration(m.Throttled.Load()); got != time.Hour {
			t.Errorf("throttled for %s, want 1h", got)
		}
	})
}

func TestCallsInFlightHoldTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{answer: func(*http.Request) (*http.Response, error) {
			time.Sleep(90 * time.Second)
			return reply(200, `{"value":[]}`), nil
		}}
		c := newTestClient(t, fake, func(c *Config) { c.Limits.PerMinute = 1 })
		go func() { _, _ = incidents(t.Context(), c) }()
		synctest.Wait()
		time.Sleep(time.Second)
		start := time.Now()
		if _, err := incidents(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if want := 89*time.Second + time.Minute + 90*time.Second; time.Since(start) != want {
			t.Errorf("took %s, want %s: the rest of the first call, a minute, the call itself", time.Since(start), want)
		}
	})
}

func TestSeedCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		perMinute int
		ages      []time.Duration
		want      time.Duration
	}{
		"one falls out":    {2, []time.Duration{2 * time.Hour, 10 * time.Second, 5 * time.Second}, 50*time.Second + seedGrace},
		"two must":         {1, []time.Duration{5 * time.Second, 10 * time.Second}, 55*time.Second + seedGrace},
		"a clock in front": {1, []time.Duration{-time.Hour}, time.Minute + seedGrace},
		"long ago":         {1, []time.Duration{2 * time.Minute}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c := newTestClient(t, new(wireFake), func(c *Config) {
					c.Limits.PerMinute = tc.perMinute
					for _, age := range tc.ages {
						c.Seed = append(c.Seed, start.Add(-age))
					}
				})
				if _, err := incidents(t.Context(), c); err != nil || time.Since(start) != tc.want {
					t.Errorf("waited %s, %v; want %s", time.Since(start), err, tc.want)
				}
			})
		})
	}
}

// A tenant that comes back brings the record of all calls, this client's too.
func TestSeedKnowsTheClientsOwnCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorded []time.Time
		c := newTestClient(t, new(wireFake), func(c *Config) {
			c.Limits.PerMinute = 5
			c.OnCall = func(_ context.Context, at time.Time) error {
				recorded = append(recorded, at.Truncate(time.Second))
				return nil
			}
		})
		start := time.Now()
		call := func() {
			if _, err := incidents(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			call()
		}
		for range 2 { // one call of somebody else's in the same second as ours
			c.Seed(append(slices.Clone(recorded), recorded[0]))
		}
		call()
		if took := time.Since(start); took != 0 {
			t.Errorf("the fifth call was sent after %s, want at once", took)
		}
		call()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the sixth call was sent after %s, want 1m0s", took)
		}
	})
}

func TestAnswersOutOfOrderLetTheNextInOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, err := Config{Limits: Limits{PerMinute: 3}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		lim, start := newLimiter(&cfg), time.Now()
		for _, takes := range []time.Duration{30 * time.Second, 5 * time.Second, 20 * time.Second} {
			place, err := lim.admit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(takes, func() { lim.answered(place) })
		}
		time.Sleep(40 * time.Second)
		if _, err := lim.admit(t.Context()); err != nil || time.Since(start) != 65*time.Second {
			t.Errorf("admitted after %s, %v; want a minute after the first answer", time.Since(start), err)
		}
	})
}

func TestAPlaceGivenBackIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		calls := 0
		c := newTestClient(t, new(wireFake), func(c *Config) {
			c.Limits.PerHour = 1
			c.OnCall = func(context.Context, time.Time) error {
				if calls++; calls > 1 {
					return nil
				}
				time.Sleep(10 * time.Second)
				return broken
			}
		})
		start := time.Now()
		go func() {
			if _, err := incidents(t.Context(), c); !errors.Is(err, broken) {
				t.Errorf("err = %v, want %v", err, broken)
			}
		}()
		synctest.Wait()
		if _, err := incidents(t.Context(), c); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("sent after %s, %v; want 10s", time.Since(start), err)
		}
	})
}

// A wait is told before it is made, once, unless it is hardly one.
func TestWaitsAreToldBeforehand(t *testing.T) {
	for name, c := range map[string]struct {
		limit  int
		closed time.Duration
		want   []Wait
	}{
		"a limit":           {2, 0, []Wait{{time.Minute, 2, time.Minute}}},
		"the service":       {9, 5 * time.Second, []Wait{{For: 5 * time.Second}}},
		"one after another": {2, 5 * time.Second, []Wait{{For: 5 * time.Second}, {55 * time.Second, 2, time.Minute}}},
		"a second":          {9, time.Second, nil},
		"none":              {9, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newTestClient(t, new(wireFake), func(config *Config) { config.Limits.PerMinute = c.limit })
				for range 2 {
					if _, err := incidents(t.Context(), client); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				client.CloseUntil(start.Add(c.closed), "asked")
				var told []Wait
				ctx := ContextWithMeter(t.Context(), &Meter{Waiting: func(w Wait) {
					if len(told) == 0 && time.Since(start) > 0 {
						t.Error("told afterwards")
					}
					told = append(told, w)
				}})
				gone, cancel := context.WithCancel(ctx)
				cancel()
				for range 20 * len(c.want) { // a select between two that are ready takes either; without a wait this would use the limit up
					_, _ = incidents(gone, client)
				}
				if len(told) > 0 {
					t.Errorf("told of %v, and nobody waits", told)
				}
				if _, err := incidents(ctx, client); err != nil || !slices.Equal(told, c.want) {
					t.Errorf("told of %v, want %v; %v", told, c.want, err)
				}
			})
		})
	}
}

func TestWaitingForALimitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := new(wireFake)
		c := newTestClient(t, fake, func(c *Config) { c.Limits.PerMinute = 1 })
		if _, err := incidents(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for _, patience := range []time.Duration{9 * time.Second, 5 * time.Second} { // for the limit, for its turn
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, err := incidents(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != patience {
					t.Errorf("after %s: %v, want deadline exceeded after %s", time.Since(start), err, patience)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if fake.sent() != 1 {
			t.Errorf("%d calls sent, want 1", fake.sent())
		}
	})
}
