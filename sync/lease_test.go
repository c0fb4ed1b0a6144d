package sync

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"defendersync/store"
)

// fakeLeases grants one lease at a time, by the clock of the test's bubble.
type fakeLeases struct {
	mu       sync.Mutex
	owner    string
	until    time.Time
	fence    int64
	renewErr error
	renewals int
	releases int
	deaf     bool          // it neither takes nor answers
	slow     time.Duration // until a lease that was taken is told of
}

func (f *fakeLeases) Acquire(ctx context.Context, tenantID, owner string, ttl time.Duration) (store.Lease, error) {
	if f.deaf {
		<-ctx.Done()
		return store.Lease{}, ctx.Err()
	}
	f.mu.Lock()
	if f.owner != owner && time.Now().Before(f.until) {
		f.mu.Unlock()
		return store.Lease{}, store.ErrLeaseHeld
	}
	f.owner, f.until = owner, time.Now().Add(ttl)
	f.fence++
	lease := store.Lease{TenantID: tenantID, Owner: owner, Fence: f.fence}
	f.mu.Unlock()
	select {
	case <-time.After(f.slow):
		return lease, nil
	case <-ctx.Done():
		return store.Lease{}, ctx.Err()
	}
}

func (f *fakeLeases) Renew(_ context.Context, lease store.Lease, ttl time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewals++
	if f.renewErr != nil {
		return f.renewErr
	}
	if lease.Fence != f.fence {
		return store.ErrFenced
	}
	f.until = time.Now().Add(ttl)
	return nil
}

func (f *fakeLeases) Release(context.Context, store.Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.releases++
	f.until = time.Now()
	return nil
}

func (f *fakeLeases) counts() (renewals, releases int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.renewals, f.releases
}

// steal gives the lease to somebody else.
func (f *fakeLeases) steal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fence++
}

// Streams of a tenant share one lease: the first takes it, the last gives it back.
func TestStreamsShareOneLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := &fakeLeases{}
		k := &keeper{leases: leases, tenantID: "t", owner: "a", patience: leasePatience}
		_, first, leaveFirst, err := k.hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, second, leaveSecond, err := k.hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Errorf("two streams hold %v and %v", first, second)
		}
		time.Sleep(time.Minute) // of the bubble
		if n, _ := leases.counts(); n < 11 {
			t.Errorf("%d renewals in a minute", n)
		}
		leaveFirst()
		if _, n := leases.counts(); n != 0 {
			t.Error("released while a stream was still in its pass")
		}
		leaveSecond()
		if _, n := leases.counts(); n != 1 {
			t.Errorf("%d releases, want 1", n)
		}
	})
}

// Who is told to stop while his lease is being taken gives it back, and does not
// wait long for a database that says nothing.
func TestStopWhileTheLeaseIsTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		leases   *fakeLeases
		releases int
		ends     time.Duration // after the stop
	}{
		"answer under way": {&fakeLeases{slow: 2 * time.Second}, 1, time.Second},
		"no answer":        {&fakeLeases{deaf: true}, 0, leaseBeat},
		"late answer":      {&fakeLeases{slow: time.Hour}, 0, leaseBeat},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{leases: tt.leases, tenantID: "t", owner: "a", patience: leasePatience}
				k.taken = func(context.Context) error { t.Error("the tenant's calls were counted"); return nil }
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				began := time.Now()
				if _, _, _, err := k.hold(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Errorf("hold ended with %v", err)
				}
				if after := time.Since(began) - time.Second; after != tt.ends {
					t.Errorf("it ended %s after the stop, want %s", after, tt.ends)
				}
				if _, n := tt.leases.counts(); n != tt.releases {
					t.Errorf("%d releases, want %d", n, tt.releases)
				}
			})
		})
	}
}

// A lease that another worker took ends the passes under it, with the reason.
func TestLostLeaseEndsThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := &fakeLeases{}
		k := &keeper{leases: leases, tenantID: "t", owner: "a", patience: leasePatience}
		ctx, _, leave, err := k.hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leases.steal()
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, store.ErrFenced) {
			t.Errorf("the pass ended because of %v", cause)
		}
		leave()
		if _, _, leave, err := k.hold(t.Context()); err != nil {
			t.Errorf("the tenant can't be held again: %v", err)
		} else {
			leave()
		}
	})
}

// A database that does not answer is asked for longer than the lease, since a
// long commit of our own may be what holds it up, but not for ever.
func TestLeaseThatCannotBeRenewedIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := &fakeLeases{renewErr: errors.New("connection refused")}
		k := &keeper{leases: leases, tenantID: "t", owner: "a", patience: leasePatience}
		began := time.Now()
		ctx, _, leave, err := k.hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		<-ctx.Done()
		if held := time.Since(began); held < leaseTTL || held > leasePatience {
			t.Errorf("the lease was given up after %s, want between %s and %s", held, leaseTTL, leasePatience)
		}
		// Nobody else has the tenant, and nobody may be told so.
		if cause := context.Cause(ctx); !errors.Is(cause, errSilent) || errors.Is(cause, store.ErrFenced) {
			t.Errorf("the pass ended because of %v", cause)
		}
	})
}

// A database that takes connections and says nothing, as one whose machine is
// gone, does not keep a stream for ever.
func TestSilentDatabaseIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{leases: &fakeLeases{deaf: true}, tenantID: "t", owner: "a", patience: leasePatience}
		began := time.Now()
		_, _, _, err := k.hold(t.Context())
		if !errors.Is(err, errSilent) || time.Since(began) != leasePatience {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, _, err := k.hold(ctx); errors.Is(err, errSilent) {
			t.Errorf("told to stop: %v", err)
		}
	})
}
