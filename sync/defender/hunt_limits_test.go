package defender

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd counts the calls in flight, from their sending to the end of their bodies.
type crowd struct {
	mu        sync.Mutex
	now, most int
}

func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
}

// slowBody takes a while to come to its end and leaves the crowd when closed.
type slowBody struct {
	io.Reader
	crowd *crowd
	takes time.Duration
	once  sync.Once
}

func (s *slowBody) Read(p []byte) (int, error) {
	s.once.Do(func() { time.Sleep(s.takes) })
	return s.Reader.Read(p)
}

func (s *slowBody) Close() error {
	s.crowd.leave()
	return nil
}

// huntOf makes the nth of several hunts.
func huntOf(ctx context.Context, c *Client, query string) error {
	req := testHunt()
	req.Query = query
	_, err := c.Hunt(ctx, req, new(keeper))
	return err
}

// No more calls are in flight than may be, as many as may be are, and they are
// let through in the order they came.
func TestConcurrentCallsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		concurrent int
		took       time.Duration
		most       int
	}{"one": {1, 60 * time.Second, 1}, "two": {2, 30 * time.Second, 2}, "any number": {0, 10 * time.Second, 6}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var in crowd
				fake := huntFake(func(*http.Request) (*http.Response, error) {
					in.enter()
					time.Sleep(3 * time.Second)
					r := reply(200, "")
					r.Body = &slowBody{Reader: strings.NewReader(emptyHunt), crowd: &in, takes: 7 * time.Second}
					return r, nil
				})
				c := newTestClient(t, fake, func(c *Config) { c.Limits.Concurrent = tc.concurrent })
				start := time.Now()
				queries := []string{"a", "b", "c", "d", "e", "f"}
				var wg sync.WaitGroup
				var m Meter
				for _, q := range queries {
					wg.Go(func() {
						if err := huntOf(ContextWithMeter(t.Context(), &m), c, q); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				if took := time.Since(start); took != tc.took || in.most != tc.most {
					t.Errorf("%d in flight, took %s; want %d and %s", in.most, took, tc.most, tc.took)
				}
				for i, call := range fake.calls {
					query := slices.Index(queries, posted(t, call)[len(`{"Query":"`):][:1])
					if query/tc.most != i/tc.most { // those let through at once are in no order
						t.Errorf("call %d is that of query %d", i, query)
					}
				}
				if m.Throttled.Load() != 0 { // nobody was asked to wait
					t.Errorf("metered %s", time.Duration(m.Throttled.Load()))
				}
			})
		})
	}
}

// A caller that gives up waiting is gone, and one that fails makes room.
func TestConcurrentPlacesAreGivenBack(t *testing.T) {
	broken := errors.New("broken")
	slow := func(req *http.Request) (*http.Response, error) {
		return reply(200, emptyHunt), sleep(req.Context(), time.Minute)
	}
	for name, tc := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		change func(*Config)
		first  func(context.Context, *Client) // leaves its place, or never has one
	}{
		"given up in flight": {answer: slow, first: func(ctx context.Context, c *Client) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = huntOf(ctx, c, "a")
		}},
		"given up waiting": {answer: slow, first: func(ctx context.Context, c *Client) {
			var wg sync.WaitGroup
			wg.Go(func() { _ = huntOf(ctx, c, "a") })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := huntOf(ctx, c, "b"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want the context's", err)
			}
			wg.Wait()
		}},
		"given up at the window": {answer: script(says(200, emptyHunt)), change: func(c *Config) { c.Limits.PerMinute = 1 }, first: func(ctx context.Context, c *Client) {
			_ = huntOf(ctx, c, "a")
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = huntOf(ctx, c, "b")
		}},
		"no record": {answer: script(says(200, emptyHunt)), change: func(c *Config) {
			n := 0
			c.OnCall = func(context.Context, time.Time) error {
				if n++; n == 1 {
					return broken
				}
				return nil
			}
		}, first: func(ctx context.Context, c *Client) { _ = huntOf(ctx, c, "a") }},
		"no answer": {answer: func(*http.Request) (*http.Response, error) { return nil, broken },
			first: func(ctx context.Context, c *Client) { _ = huntOf(ctx, c, "a") }},
		"refused": {answer: script(says(400, graphError("BadRequest", saysSize))), first: func(ctx context.Context, c *Client) { _ = huntOf(ctx, c, "a") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := huntFake(tc.answer)
				c := newTestClient(t, fake, func(c *Config) {
					c.Limits.Concurrent = 1
					if tc.change != nil {
						tc.change(c)
					}
				})
				tc.first(t.Context(), c)
				sent := fake.sent()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				_ = huntOf(ctx, c, "last")
				if ctx.Err() != nil || fake.sent() == sent {
					t.Error("the last call got no place")
				}
			})
		})
	}
}

// Who waits before a retry is not in flight.
func TestBackoffHoldsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		fake := huntFake(func(req *http.Request) (*http.Response, error) {
			order = append(order, posted(t, req)[len(`{"Query":"`):][:1])
			if len(order) == 1 {
				return reply(500, ""), nil
			}
			return reply(200, emptyHunt), nil
		})
		c := newTestClient(t, fake, func(c *Config) { c.Limits.Concurrent, c.Backoff = 1, 20*time.Second })
		var wg sync.WaitGroup
		for _, q := range []string{"a", "b"} {
			wg.Go(func() {
				if err := huntOf(t.Context(), c, q); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if !slices.Equal(order, []string{"a", "b", "a"}) {
			t.Errorf("sent %q", order)
		}
	})
}

// A gate that is closed for long is told at once, not after those in flight.
func TestClosedGateIsToldBeforeAPlaceIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := huntFake(func(req *http.Request) (*http.Response, error) {
			return reply(200, emptyHunt), sleep(req.Context(), time.Minute)
		})
		c := newTestClient(t, fake, func(c *Config) { c.Limits.Concurrent = 1 })
		var wg sync.WaitGroup
		wg.Go(func() { _ = huntOf(t.Context(), c, "a") })
		synctest.Wait()
		c.CloseUntil(time.Now().Add(time.Hour), saysCPU+"an hour.")
		start := time.Now()
		err := huntOf(t.Context(), c, "b")
		if e, ok := errors.AsType[*ThrottledError](err); !ok || !e.CPU || e.RetryAfter != time.Hour || time.Since(start) != 0 {
			t.Errorf("%v after %s, want a *ThrottledError of an hour at once", err, time.Since(start))
		}
		wg.Wait()
	})
}

// Hunts are counted like all calls.
func TestHuntsKeepToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := huntFake(nil)
		var recorded int
		c := newTestClient(t, fake, func(c *Config) {
			c.Limits = Limits{PerMinute: 3, Concurrent: 2}
			c.OnCall = func(context.Context, time.Time) error { recorded++; return nil }
		})
		start := time.Now()
		var m Meter
		for range 7 {
			if _, err := hunt(ContextWithMeter(t.Context(), &m), c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 2*time.Minute || time.Duration(m.Throttled.Load()) != took || m.Calls.Load() != 7 || recorded != 7 {
			t.Errorf("took %s, metered %s and %d calls, recorded %d", took, time.Duration(m.Throttled.Load()), m.Calls.Load(), recorded)
		}
	})
}
