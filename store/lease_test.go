package store_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
)

// expire lets the tenant's lease run out.
func expire(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), `UPDATE sync.leases SET until = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
}

func TestLease(t *testing.T) {
	ctx, s := t.Context(), storetest.New(t)
	a, err := s.Acquire(ctx, tenant, "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"a", "b"} {
		var held *store.HeldError
		_, err = s.Acquire(ctx, tenant, owner, ttl)
		if !errors.As(err, &held) || !errors.Is(err, store.ErrLeaseHeld) {
			t.Fatalf("error %v, want a HeldError", err)
		}
		if in := time.Until(held.Until); held.Owner != "a" || in < ttl-5*time.Second || in > ttl+5*time.Second {
			t.Errorf("held by %s for %s", held.Owner, in)
		}
	}
	if _, err := s.Acquire(ctx, otherTenant, "b", ttl); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if err := s.Renew(ctx, a, time.Hour); err != nil {
		t.Error(err)
	}
	if err := s.Release(ctx, a); err != nil {
		t.Error(err)
	}
	if err := s.Renew(ctx, a, ttl); !errors.Is(err, store.ErrFenced) {
		t.Errorf("renewed after release: %v", err)
	}
	b, err := s.Acquire(ctx, tenant, "b", ttl)
	if err != nil || b.Fence <= a.Fence {
		t.Errorf("lease %+v after %+v, %v", b, a, err)
	}
	if err := s.Release(ctx, a); err != nil {
		t.Error(err)
	}
	if err := s.Renew(ctx, b, ttl); err != nil {
		t.Errorf("a released what was b's: %v", err)
	}
}

// A lease that ran out but that nobody took is good again.
func TestLeaseRenewedLate(t *testing.T) {
	ctx, s := t.Context(), storetest.New(t)
	a, err := s.Acquire(ctx, tenant, "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	expire(t, s)
	if err := s.Renew(ctx, a, ttl); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(ctx, tenant, "b", ttl); !errors.Is(err, store.ErrLeaseHeld) {
		t.Errorf("error %v, want ErrLeaseHeld", err)
	}
}

func TestOneOfManyAcquires(t *testing.T) {
	s := storetest.New(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		all.Go(func() { _, errs[n] = s.Acquire(t.Context(), tenant, string(rune('a'+n)), ttl) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrLeaseHeld):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d hold the tenant", won, len(errs))
	}
}

// P6: a worker that wakes after its tenant was taken over writes nothing.
func TestLateWriterIsFenced(t *testing.T) {
	ctx := t.Context()
	late := newWorker(t)
	late.commit(incident(1, 1))
	if err := late.StartRun(ctx, late.lease, store.Run{RunID: run, TenantID: tenant, Stream: "incidents", StartedAt: t0}); err != nil {
		t.Fatal(err)
	}
	expire(t, late.Store)
	next := workerOn(t, late.Store)
	next.lease.Owner = "worker" // even under the same name
	c := late.next()
	c.Incidents = []store.Incident{incident(2, 2)}
	for name, err := range map[string]error{
		"Commit":          commitErr(late.Store.Commit(ctx, c)),
		"Renew":           late.Renew(ctx, late.lease, ttl),
		"StartRun":        late.StartRun(ctx, late.lease, store.Run{RunID: run, Stream: "incidents", StartedAt: t0}),
		"FinishRun":       late.FinishRun(ctx, store.Run{RunID: run, TenantID: tenant, FinishedAt: at(1), Outcome: "ok"}),
		"CompactCoverage": late.CompactCoverage(ctx, late.lease, "incidents", at(100)),
		"Replay":          replayErr(late.Replay(ctx, store.Replay{Lease: late.lease, ID: run})),
	} {
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s: error %v, want ErrFenced", name, err)
		}
	}
	late.want(`SELECT incident_id FROM defender.incidents`, "1")
	late.want(`SELECT outcome, finished_at IS NOT NULL FROM sync.runs`, "interrupted true")
	next.cp = late.cp
	next.commit(incident(2, 2))
}

// A tenant given back is not written any more either.
func TestReleasedLeaseIsFenced(t *testing.T) {
	w := newWorker(t)
	if err := w.Release(t.Context(), w.lease); err != nil {
		t.Fatal(err)
	}
	if err := commitErr(w.Store.Commit(t.Context(), w.next())); !errors.Is(err, store.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	w.lease.TenantID, w.cp.TenantID = otherTenant, otherTenant // which nobody ever held
	if err := commitErr(w.Store.Commit(t.Context(), w.next())); !errors.Is(err, store.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
}

func commitErr(_ store.Checkpoint, _ store.Counts, err error) error { return err }
func replayErr(_ store.Counts, err error) error                     { return err }

// What the service asked for outlives the holder, and is never made shorter.
func TestBlock(t *testing.T) {
	ctx, s := t.Context(), storetest.New(t)
	want := func(until time.Time) {
		t.Helper()
		if got, err := s.BlockedUntil(ctx, tenant); err != nil || !got.Equal(until) {
			t.Errorf("blocked until %s, %v; want %s", got, err, until)
		}
	}
	block := func(tenantID string, until time.Time) {
		t.Helper()
		if err := s.Block(ctx, tenantID, until); err != nil {
			t.Fatal(err)
		}
	}
	block(tenant, at(1)) // nobody has ever held it
	want(time.Time{})
	lease, err := s.Acquire(ctx, tenant, "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	want(time.Time{})
	block(tenant, at(60))
	block(tenant, at(5))
	block(otherTenant, at(90))
	want(at(60))
	if err := s.Release(ctx, lease); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(ctx, tenant, "b", ttl); err != nil {
		t.Fatal(err)
	}
	want(at(60))
	block(tenant, at(61))
	want(at(61))
}
