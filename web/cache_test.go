package web

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	defsync "defendersync/sync"
)

// counted answers how often the status was read.
func counted(reads *int, s defsync.Status, err error) func(context.Context) (defsync.Status, error) {
	return func(ctx context.Context) (defsync.Status, error) {
		*reads++
		time.Sleep(time.Second) // in a bubble: what a slow database takes
		return s, err
	}
}

func TestScrapesShareOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c := newStatusCache(counted(&reads, sample(), nil))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if s, err := c.get(t.Context()); err != nil || len(s.Tenants) != 1 {
					t.Errorf("got %v, %v", s, err)
				}
			})
		}
		wg.Wait()
		if reads != 1 {
			t.Errorf("%d reads for 50 callers at once", reads)
		}
		time.Sleep(statusAge)
		if _, err := c.get(t.Context()); err != nil || reads != 2 {
			t.Errorf("%d reads after the first grew old, want 2 (%v)", reads, err)
		}
	})
}

func TestFailedReadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c := newStatusCache(counted(&reads, defsync.Status{}, errors.New("no database")))
		for range 5 {
			if _, err := c.get(t.Context()); err == nil {
				t.Error("a failure was lost")
			}
		}
		if reads != 1 {
			t.Errorf("%d reads of a database that is down, want 1", reads)
		}
	})
}

func TestCallerWhoLeavesSpoilsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStatusCache(func(ctx context.Context) (defsync.Status, error) {
			select {
			case <-ctx.Done():
				return defsync.Status{}, ctx.Err()
			case <-time.After(time.Second):
				return sample(), nil
			}
		})
		left, leave := context.WithCancel(t.Context())
		go func() { _, _ = c.get(left) }()
		synctest.Wait()
		leave()
		if s, err := c.get(t.Context()); err != nil || len(s.Tenants) != 1 {
			t.Errorf("the next caller got %v, %v", s, err)
		}
	})
}

func TestHangingReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStatusCache(func(ctx context.Context) (defsync.Status, error) {
			<-ctx.Done()
			return defsync.Status{}, ctx.Err()
		})
		began := time.Now()
		if _, err := c.get(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != statusTimeout {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

// TestSlowReadsRest says that what took long to read is kept for longer.
func TestSlowReadsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c := newStatusCache(counted(&reads, sample(), nil))
		c.rest = 50
		for range 10 {
			if _, err := c.get(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(statusAge)
		}
		if reads != 1 {
			t.Errorf("%d reads of a second each within 30 seconds", reads)
		}
		time.Sleep(30 * time.Second)
		if _, err := c.get(t.Context()); err != nil || reads != 2 {
			t.Errorf("%d reads within a minute, want 2 (%v)", reads, err)
		}
	})
}
